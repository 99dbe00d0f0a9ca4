package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// usualFiles are where Load looks when no file is named.
var usualFiles = [...]string{"config.yaml", "/etc/streamgate/streamgate.yaml"}

// envPrefix begins the name of every environment variable.
const envPrefix = "STREAMGATE_"

// Sources are where a configuration comes from, weakest first.
type Sources struct {
	// File is a YAML file; "" means $STREAMGATE_CONFIG, then ./config.yaml,
	// then /etc/streamgate/streamgate.yaml, then none.
	File string
	// Env are NAME=value pairs as of os.Environ.
	Env []string
	// Set are keys and values from the command line.
	Set []Setting
}

// Setting is one key set on the command line.
type Setting struct{ Key, Value string }

// Load builds the configuration and checks it. Its errors name the key, the
// value and the mend, one per line.
func Load(src Sources) (*Config, error) {
	layers, err := LoadLayers(src)
	if err != nil {
		return nil, err
	}
	return layers.Config()
}

// Layers are the sources of a configuration as they were read, so that what the
// nodes of a deployment share can be put between them, again and again.
type Layers struct {
	name string // of the file; "" for none
	file []byte
	env  map[string]string
	set  []Setting
}

// LoadLayers reads the sources.
func LoadLayers(src Sources) (*Layers, error) {
	l := &Layers{env: environment(src.Env), set: src.Set}
	var err error
	if l.name, err = findFile(src.File, l.env); err != nil || l.name == "" {
		return l, err
	}
	if l.file, err = os.ReadFile(l.name); err != nil {
		return nil, fmt.Errorf("read the configuration: %w", err)
	}
	return l, nil
}

// Config builds the configuration and checks it.
func (l *Layers) Config() (*Config, error) {
	cfg, err := l.build(nil)
	if err != nil {
		return nil, err
	}
	return cfg, cfg.Validate()
}

// build puts the layers upon each other, and the shared ones in their place.
func (l *Layers) build(shared map[string]string) (*Config, error) {
	cfg := Default()
	if l.name != "" {
		if err := decodeYAML(l.file, cfg); err != nil {
			return nil, fmt.Errorf("%s: %w", l.name, err)
		}
	}
	for key, text := range shared {
		if err := decodeKey(cfg, key, text); err != nil {
			return nil, err
		}
	}
	if err := setAll(cfg, l.env); err != nil {
		return nil, err
	}
	for _, s := range l.set {
		if err := setKey(cfg, s.Key, s.Value); err != nil {
			return nil, err
		}
	}
	if cfg.Deployment.Mode == "microservice" {
		cfg.Deployment.Mode = ModeCluster
	}
	if cfg.DataDir == "" {
		cfg.DataDir = defaultDataDir(l.env, os.Geteuid())
	}
	var err error
	if cfg.Cluster.AdvertiseHost == "hostname" { // a container's differs from those of its siblings
		if cfg.Cluster.AdvertiseHost, err = os.Hostname(); err != nil {
			return nil, fmt.Errorf("cluster.advertise_host: %w", err)
		}
	}
	if cfg.DataDir, err = filepath.Abs(cfg.DataDir); err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	return cfg, nil
}

// findFile returns the configuration file to read, or "".
func findFile(named string, env map[string]string) (string, error) {
	if named == "" {
		named = env[envPrefix+"CONFIG"]
	}
	if named != "" {
		if _, err := os.Stat(named); err != nil {
			return "", fmt.Errorf("the configuration file %s cannot be read: %w", named, errors.Unwrap(err))
		}
		return named, nil
	}
	for _, file := range usualFiles {
		if _, err := os.Stat(file); !errors.Is(err, fs.ErrNotExist) {
			return file, nil // or fails to be read, which must be told
		}
	}
	return "", nil
}

// decodeYAML sets cfg from a YAML document.
func decodeYAML(data []byte, cfg *Config) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("is not YAML: %s", strings.TrimPrefix(err.Error(), "yaml: "))
	}
	if doc.Kind == 0 { // nothing but comments
		return nil
	}
	return decode(doc.Content[0], tree(cfg), "")
}

// setAll sets every key of cfg whose variable, or for a secret whose _FILE
// variable, is there and not empty.
func setAll(cfg any, env map[string]string) error {
	for _, leaf := range leaves(tree(cfg), "") {
		name := envName(leaf.key)
		text := env[name]
		if file := env[name+"_FILE"]; leaf.secret && file != "" {
			if text != "" {
				return fmt.Errorf("%s and %s_FILE are both set; keep one", name, name)
			}
			data, err := os.ReadFile(file)
			if err != nil {
				return fmt.Errorf("%s_FILE: %w", name, err)
			}
			text = strings.TrimRight(string(data), "\r\n")
		}
		if text == "" {
			continue
		}
		if err := set(leaf.value, text); err != nil {
			return fmt.Errorf("%s: %q %w", name, text, err)
		}
	}
	return nil
}

// UnknownEnv returns a line for each variable that looks like a misspelt key.
// It is a warning only: other programs put names of this prefix there too
// (Kubernetes for a service called streamgate).
func UnknownEnv(env []string) []string {
	var names, lines []string
	for _, leaf := range leaves(tree(Default()), "") {
		names = append(names, envName(leaf.key))
	}
	for name := range environment(env) {
		if !strings.HasPrefix(name, envPrefix) || slices.Contains(names, name) {
			continue
		}
		if best := closest(name, names); best != "" && distance(name, best) <= 3 {
			lines = append(lines, fmt.Sprintf("%s is no configuration key; did you mean %s?", name, best))
		}
	}
	slices.Sort(lines)
	return lines
}

func envName(key string) string {
	return envPrefix + strings.ToUpper(strings.ReplaceAll(key, ".", "_"))
}

func environment(pairs []string) map[string]string {
	env := make(map[string]string, len(pairs))
	for _, pair := range pairs {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	return env
}

// defaultDataDir is where a node keeps its data when it is not told.
func defaultDataDir(env map[string]string, uid int) string {
	const system = "/var/lib/streamgate"
	if dirs := env["STATE_DIRECTORY"]; dirs != "" {
		first, _, _ := strings.Cut(dirs, ":")
		return first
	}
	if _, err := os.Stat(system); uid == 0 && err == nil {
		return system
	}
	if home := env["XDG_DATA_HOME"]; home != "" {
		return filepath.Join(home, "streamgate")
	}
	if home := env["HOME"]; home != "" {
		return filepath.Join(home, ".local", "share", "streamgate")
	}
	return system
}
