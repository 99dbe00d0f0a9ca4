package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// source is the code that the words of the document are read from, so that
// nobody keeps a second list of them.
type source struct {
	packages map[string]map[string]*ast.File // by folder ("app/rpc"), then by file
	strings  map[string]map[string]string    // constants by folder, then by name
}

// readSource parses the module around the working directory and tusd, without
// tests, generated code and the console, whose problems are pages.
func readSource() (*source, error) {
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	s := &source{packages: map[string]map[string]*ast.File{}, strings: map[string]map[string]string{}}
	tusd, err := moduleFolder("github.com/tus/tusd/v2")
	if err != nil {
		return nil, err
	}
	for _, tree := range []string{filepath.Join(root, "app"), filepath.Join(root, "node"), filepath.Join(root, "store"), filepath.Join(root, "ui"), filepath.Join(tusd, "pkg/handler")} {
		err := filepath.WalkDir(tree, func(name string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || !ours(name) || strings.Contains(name, "/ui/console/") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			folder, err := filepath.Rel(root, filepath.Dir(name))
			if err != nil {
				return err
			}
			s.add(filepath.ToSlash(folder), name, file)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("read the words of the code: %w", err)
		}
	}
	return s, nil
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for err == nil {
		if _, serr := os.Stat(filepath.Join(dir, "go.mod")); serr == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("there is no go.mod above the working directory")
		}
		dir = filepath.Dir(dir)
	}
	return "", err
}

// moduleFolder is where the source of a module lies that this one requires.
func moduleFolder(module string) (string, error) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return "", fmt.Errorf("find the source of %s: %w", module, err)
	}
	return strings.TrimSpace(string(out)), nil
}

func ours(name string) bool {
	return strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") && !strings.HasSuffix(name, "_templ.go") &&
		!strings.HasSuffix(name, ".pb.go") && !strings.HasSuffix(name, ".connect.go")
}

func (s *source) add(folder, name string, file *ast.File) {
	if s.packages[folder] == nil {
		s.packages[folder], s.strings[folder] = map[string]*ast.File{}, map[string]string{}
	}
	s.packages[folder][name] = file
	eachConstant(file, func(name, _, value string) { s.strings[folder][name] = value })
}

// eachConstant calls fn with the string constants of a file, in its order.
func eachConstant(file *ast.File, fn func(name, typ, value string)) {
	for _, decl := range file.Decls {
		gen, ok := decl.(*ast.GenDecl)
		if !ok || gen.Tok != token.CONST {
			continue
		}
		for _, spec := range gen.Specs {
			v, ok := spec.(*ast.ValueSpec)
			if !ok || len(v.Names) != len(v.Values) {
				continue
			}
			typ, _ := v.Type.(*ast.Ident)
			for i := range v.Names {
				if value, ok := literal(v.Values[i]); ok {
					fn(v.Names[i].Name, identName(typ), value)
				}
			}
		}
	}
}

func identName(id *ast.Ident) string {
	if id == nil {
		return ""
	}
	return id.Name
}

func literal(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// constants lists the constants of a type ("store.VideoState": the last folder
// and the name), in the order of the source.
func (s *source) constants(typ string) (values []any) {
	pkg, name, _ := strings.Cut(typ, ".")
	for _, folder := range slices.Sorted(maps.Keys(s.packages)) {
		if folder[strings.LastIndexByte(folder, '/')+1:] != pkg {
			continue
		}
		for _, file := range slices.Sorted(maps.Keys(s.packages[folder])) {
			eachConstant(s.packages[folder][file], func(_, typ, value string) {
				if typ == name {
					values = append(values, value)
				}
			})
		}
	}
	return values
}

// named lists the string constants of a folder whose names begin so.
func (s *source) named(folder, prefix string) []any {
	found := map[string]bool{}
	for name, value := range s.strings[folder] {
		if strings.HasPrefix(name, prefix) {
			found[value] = true
		}
	}
	return sorted(found)
}

// codeArgument is where the functions that make a problem take its code: those
// of package rpc, and those of single packages that pass theirs on.
var codeArgument = map[string]int{
	"rpc.Errorf": 1, "rpc.StatusErrorf": 2, "rpc.RetryErrorf": 2, "rpc.Invalid": 0, "rpc.NotFound": 1,
	"rpc.WriteStatus": 3, "rpc.WriteRefusal": 3, "rpc.WriteRetry": 3,
	"identities.refuse": 0, "stream.problem": 1, "transcode.errState": 0, "handler.NewError": 0,
}

// passedOn are the packages with calls whose code is no word of the source: it
// was taken from one that is, or from a decision or the end of a session.
var passedOn = map[string]bool{
	"app/rpc": true, "app/access/identities": true, "app/access/decisions": true, "app/access/sessions": true,
	"app/stream": true, "app/transcode": true, "app/upload": true,
}

// problemCodes lists the codes of problems, sorted.
func (s *source) problemCodes() ([]any, error) {
	found := map[string]bool{
		"method_not_allowed": true, "not_found": true, // of tusd's router, by their status
		s.strings["app/access/decisions"]["ReasonPrivate"]: true,
	}
	for _, reason := range s.constants("rules.Reason") {
		found[reason.(string)] = true
	}
	for name, code := range s.strings["app/access/sessions"] {
		if strings.HasPrefix(name, "reason") {
			found[code] = true
		}
	}
	for folder, files := range s.packages {
		for name, file := range files {
			var err error
			ast.Inspect(file, func(n ast.Node) bool {
				if e := s.codeIn(folder, n, found); e != nil {
					err = fmt.Errorf("%s: %w", name, e)
				}
				return true
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return sorted(found), nil
}

func sorted(words map[string]bool) (out []any) {
	for _, w := range slices.Sorted(maps.Keys(words)) {
		out = append(out, w)
	}
	return out
}

// codeIn adds the code that a call or a composite literal names, if it is one
// that makes a problem.
func (s *source) codeIn(folder string, n ast.Node, found map[string]bool) error {
	var made ast.Expr
	var args []ast.Expr
	switch n := n.(type) {
	case *ast.CallExpr:
		made, args = n.Fun, n.Args
	case *ast.CompositeLit:
		made, args = n.Type, n.Elts
	default:
		return nil
	}
	name := nameOf(folder, made)
	i, ok := codeArgument[name]
	if !ok || i >= len(args) {
		return nil
	}
	code, ok := s.word(folder, args[i])
	switch {
	case ok && name == "rpc.NotFound":
		code += "_not_found"
	case name == "handler.NewError":
		code = strings.ToLower(strings.TrimPrefix(code, "ERR_"))
	case !ok && !passedOn[folder]:
		return fmt.Errorf("the code that %s is given is no word: say one, or say in passedOn why not", name)
	}
	if code != "" {
		found[code] = true
	}
	return nil
}

// nameOf names what is called or made by its package and name.
func nameOf(folder string, e ast.Expr) string {
	switch e := e.(type) {
	case *ast.SelectorExpr:
		if pkg, ok := e.X.(*ast.Ident); ok {
			return pkg.Name + "." + e.Sel.Name
		}
	case *ast.Ident:
		return folder[strings.LastIndexByte(folder, '/')+1:] + "." + e.Name
	}
	return ""
}

// word is what a literal or a constant says.
func (s *source) word(folder string, e ast.Expr) (string, bool) {
	if id, ok := e.(*ast.Ident); ok {
		value, ok := s.strings[folder][id.Name]
		return value, ok
	}
	if pair, ok := e.(*ast.KeyValueExpr); ok {
		e = pair.Value
	}
	return literal(e)
}

// failureCodes lists the codes of what failed: sources, tasks, sessions and
// webhooks; and of changes that were refused, which are problems.
func (s *source) failureCodes(problems []any) []any {
	found := map[string]bool{"gone": true, "failing": true}
	for _, code := range problems {
		found[code.(string)] = true
	}
	for _, folder := range []string{"app/media", "app/transcode", "app/access/sessions", "app/webhooks"} {
		for name, value := range s.strings[folder] {
			if word := strings.ToLower(name); strings.HasPrefix(word, "code") || strings.HasPrefix(word, "reason") {
				found[value] = true
			}
		}
		for _, file := range s.packages[folder] {
			ast.Inspect(file, func(n ast.Node) bool {
				lit, ok := n.(*ast.CompositeLit)
				if !ok || nameOf(folder, lit.Type) != "store.Failure" || len(lit.Elts) == 0 {
					return true
				}
				if code, ok := s.word(folder, lit.Elts[0]); ok {
					found[code] = true
				}
				return true
			})
		}
	}
	return sorted(found)
}
