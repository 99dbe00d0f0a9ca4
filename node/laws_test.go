package node

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const modulePath = "streamgate/"

// layers are the folders from left to right: imports run only to the right.
var layers = []string{"cmd", "node", "ui", "app", "store"}

// shared are the packages of app that every service may import.
var shared = []string{"app/rpc", "app/events", "app/media", "app/egress"}

// backends are imported only by node, by programs that measure them, and by tests.
var backends = []string{
	"store/bolt", "store/files", "store/memory", "store/postgres", "store/s3", "store/redis", "app/access/evm",
}

// goFile is one file of the module.
type goFile struct {
	path    string // from the module's root
	dir     string
	test    bool
	imports []string // of this module, without its path
	ast     *ast.File
}

// moduleFiles parses every Go file of the module.
func moduleFiles(t *testing.T) []goFile {
	t.Helper()
	var files []goFile
	err := filepath.WalkDir("..", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		base := d.Name()
		if d.IsDir() && (base == "node_modules" || base == "testdata" || base == "bin" || strings.HasPrefix(base, ".") && base != "..") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(base, ".go") {
			return nil
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		rel := filepath.ToSlash(strings.TrimPrefix(name, "../"))
		f := goFile{path: rel, dir: path.Dir(rel), test: strings.HasSuffix(rel, "_test.go"), ast: parsed}
		for _, imp := range parsed.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				return err
			}
			if own, ok := strings.CutPrefix(p, modulePath); ok {
				f.imports = append(f.imports, own)
			}
		}
		files = append(files, f)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 50 {
		t.Fatalf("only %d files found: the walk is wrong", len(files))
	}
	return files
}

// TestLawDirection: cmd → node → ui → app → store, and ui also embeds assets.
// Tests may also use the development chain.
func TestLawDirection(t *testing.T) {
	for _, f := range moduleFiles(t) {
		for _, imp := range f.imports {
			chain := f.test && imp == "cmd/devchain/devnet"
			if !chain && !mayImport(f.dir, imp) {
				t.Errorf("%s imports %s", f.path, imp)
			}
		}
	}
}

func mayImport(from, to string) bool {
	left, right := layer(from), layer(to)
	if right == "assets" {
		return left == "ui" || left == "node" || left == "cmd" || left == "assets"
	}
	return slices.Contains(layers, right) && slices.Index(layers, left) <= slices.Index(layers, right)
}

func layer(dir string) string {
	first, _, _ := strings.Cut(dir, "/")
	return first
}

// TestLawServices: services never import each other. What they call of each
// other goes through the interfaces of app/rpc.
func TestLawServices(t *testing.T) {
	for _, f := range moduleFiles(t) {
		if layer(f.dir) != "app" || f.test {
			continue
		}
		for _, imp := range f.imports {
			if layer(imp) == "app" && service(imp) != service(f.dir) && !slices.Contains(shared, imp) {
				t.Errorf("%s imports %s", f.path, imp)
			}
		}
	}
}

// service is the folder of app to which a package belongs.
func service(dir string) string {
	parts := strings.SplitN(dir, "/", 3)
	return strings.Join(parts[:min(2, len(parts))], "/")
}

// accessMay is what the packages of access may import of each other: one way.
var accessMay = map[string][]string{
	"app/access/eth":        {},
	"app/access/evm":        {"app/access/eth"},
	"app/access/limits":     {},
	"app/access/rules":      {"app/access/eth"},
	"app/access/decisions":  {"app/access/eth", "app/access/rules"},
	"app/access/identities": {"app/access/eth", "app/access/limits"},
	"app/access/sessions":   {"app/access/eth", "app/access/rules", "app/access/decisions", "app/access/limits"},
	"app/access": {
		"app/access/eth", "app/access/rules", "app/access/decisions", "app/access/limits",
		"app/access/identities", "app/access/sessions",
	},
	"app/access/eth/ethtest": {"app/access/eth"},
}

// withoutIO are the packages that decide from what they are given.
var withoutIO = []string{"app/access/eth", "app/access/rules"}

// TestLawAccess: the packages of access import each other in one direction, and
// the language of rules does no I/O.
func TestLawAccess(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range moduleFiles(t) {
		if service(f.dir) != "app/access" {
			continue
		}
		may, listed := accessMay[f.dir]
		if seen[f.dir] = true; !listed {
			t.Errorf("%s is in no package that accessMay lists", f.path)
		}
		if f.test {
			continue
		}
		for _, imp := range f.imports {
			pure := slices.Contains(withoutIO, f.dir)
			if service(imp) == "app/access" && !slices.Contains(may, imp) || service(imp) != "app/access" && pure {
				t.Errorf("%s imports %s", f.path, imp)
			}
		}
		for _, imp := range f.ast.Imports {
			p, _ := strconv.Unquote(imp.Path.Value)
			first, _, _ := strings.Cut(p, "/")
			if slices.Contains(withoutIO, f.dir) && slices.Contains([]string{"net", "os", "log", "syscall", "io"}, first) && p != "io" && p != "net/url" {
				t.Errorf("%s imports %s", f.path, p)
			}
		}
	}
	for dir := range accessMay {
		if !seen[dir] {
			t.Errorf("there is no %s", dir)
		}
	}
}

// TestLawBackends: only node knows which backend there is. Tests of services
// may run on one.
func TestLawBackends(t *testing.T) {
	for _, f := range moduleFiles(t) {
		if f.test || layer(f.dir) == "node" || layer(f.dir) == "cmd" {
			continue
		}
		for _, imp := range f.imports {
			if slices.Contains(backends, imp) {
				t.Errorf("%s imports %s", f.path, imp)
			}
		}
	}
}

// TestLawConfiguration: nothing below node reads flags, environment or YAML.
func TestLawConfiguration(t *testing.T) {
	forbidden := []string{"flag", "go.yaml.in/yaml/v3", "gopkg.in/yaml.v3"}
	for _, f := range moduleFiles(t) {
		if l := layer(f.dir); f.test || l == "node" || l == "cmd" || f.ast.Name.Name == "main" {
			continue
		}
		for _, imp := range f.ast.Imports {
			if p, _ := strconv.Unquote(imp.Path.Value); slices.Contains(forbidden, p) {
				t.Errorf("%s imports %s", f.path, p)
			}
		}
	}
}

// TestLawPackageComments: every package says what it is, once.
func TestLawPackageComments(t *testing.T) {
	comments := map[string]int{}
	for _, f := range moduleFiles(t) {
		if f.test {
			continue
		}
		n := 0
		if f.ast.Doc != nil && len(f.ast.Doc.Text()) > 40 {
			n = 1
		}
		comments[f.dir] += n
	}
	for dir, n := range comments {
		if n != 1 {
			t.Errorf("%s has %d package comments", dir, n)
		}
	}
}

func TestMayImport(t *testing.T) {
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"cmd/streamgate", "node", true}, {"node", "store/bolt", true}, {"ui", "app/rpc", true}, {"ui", "assets", true},
		{"app/stream", "store", true}, {"store/bolt", "store", true},
		{"store", "app/rpc", false}, {"app/rpc", "node", false}, {"app/stream", "ui", false}, {"node", "cmd/x", false},
		{"app/stream", "assets", false}, {"app/stream", "internal/x", false},
	} {
		if got := mayImport(c.from, c.to); got != c.want {
			t.Errorf("%s → %s: %v", c.from, c.to, got)
		}
	}
}

// TestUnits: the service manager must wait longer than the node needs to stop.
func TestUnits(t *testing.T) {
	pattern := regexp.MustCompile(`(?m)^TimeoutStopSec=(\d+)s$`)
	for _, name := range []string{"streamgate.service", "streamgate@.service"} {
		data, err := os.ReadFile(filepath.Join("../systemd", name))
		if err != nil {
			t.Fatal(err)
		}
		m := pattern.FindSubmatch(data)
		if m == nil {
			t.Fatalf("%s has no TimeoutStopSec", name)
		}
		got, _ := time.ParseDuration(string(m[1]) + "s")
		if need := jobsEnd + 2*brief; got < need {
			t.Errorf("%s waits %v for a stop that may take %v", name, got, need)
		}
		if !strings.Contains(string(data), "Type=notify") || !strings.Contains(string(data), "KillMode=mixed") {
			t.Errorf("%s lacks Type=notify or KillMode=mixed", name)
		}
	}
}
