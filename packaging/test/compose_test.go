package packaging

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
)

// compose loads a file as docker compose does, with its schema.
func compose(t *testing.T, file string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{"../compose/" + file}, cli.WithResolvedPaths(true), cli.WithEnv(nil))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

// TestCompose: both files are right by the specification, what services refer to is
// there, nodes get only variables that they know, and all but the gateway, whose port
// is the one to open, can be scaled.
func TestCompose(t *testing.T) {
	targets := dockerTargets(t)
	for file, nodes := range map[string][]string{"compose.yaml": {"streamgate"}, "cluster.yaml": roles} {
		t.Run(file, func(t *testing.T) {
			p := compose(t, file)
			for name := range p.Services {
				s := p.Services[name]
				for _, v := range s.Volumes {
					if _, ok := p.Volumes[v.Source]; v.Type == types.VolumeTypeVolume && v.Source != "" && !ok {
						t.Errorf("%s: there is no volume %s", name, v.Source)
					}
					if v.Type == types.VolumeTypeBind {
						read(t, v.Source)
					}
				}
				if s.Build != nil && !slices.Contains(targets, s.Build.Target) {
					t.Errorf("%s: the Dockerfile has no target %s", name, s.Build.Target)
				}
				for _, port := range s.Ports {
					if port.HostIP != "127.0.0.1" {
						t.Errorf("%s opens %s to everybody", name, port.Published)
					}
				}
			}
			for _, name := range nodes {
				s, ok := p.Services[name]
				if !ok {
					t.Fatalf("there is no service %s", name)
				}
				checkEnv(t, environment(t, s))
				if !s.ReadOnly || !slices.Contains(s.CapDrop, "ALL") || s.StopGracePeriod == nil || s.Restart == "" {
					t.Errorf("%s: read only %v, without %v, stopped after %v, restart %q", name, s.ReadOnly, s.CapDrop, s.StopGracePeriod, s.Restart)
				}
				if s.ContainerName != "" || s.Hostname != "" {
					t.Errorf("%s has a name of its own, so there can be one only", name)
				}
				if len(s.Ports) > 0 && name != "api-gateway" && name != "streamgate" {
					t.Errorf("%s has ports of the host, so there can be one only", name)
				}
			}
		})
	}
}

// TestComposeScale: five transcoders are what the project then says, and each has a
// volume of its own.
func TestComposeScale(t *testing.T) {
	p := compose(t, "cluster.yaml")
	s := p.Services["transcoder"]
	s.SetScale(5)
	if s.GetScale() != 5 {
		t.Errorf("%d transcoders", s.GetScale())
	}
	for _, v := range s.Volumes {
		if v.Target == "/var/lib/streamgate" {
			t.Errorf("all share the volume %s", v.Source)
		}
	}
	metadata := p.Services["metadata"]
	if !slices.ContainsFunc(metadata.Volumes, func(v types.ServiceVolumeConfig) bool { return v.Target == "/var/lib/streamgate" && v.Source == "ca" }) {
		t.Error("metadata does not have the CA's volume")
	}
}

func environment(t *testing.T, s types.ServiceConfig) map[string]string {
	t.Helper()
	out := map[string]string{}
	for name, value := range s.Environment {
		if value == nil {
			t.Errorf("%s takes %s from whoever starts it", s.Name, name)
			continue
		}
		out[name] = *value
	}
	for name, value := range out {
		if secret, ok := strings.CutPrefix(value, "/run/secrets/"); ok && !slices.ContainsFunc(s.Secrets, func(c types.ServiceSecretConfig) bool { return c.Source == secret }) {
			t.Errorf("%s: %s is in no secret of it", s.Name, name)
		}
	}
	return out
}

// TestComposeSecrets: the script makes every secret that the file wants.
func TestComposeSecrets(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "secrets.sh")
	if err := os.WriteFile(script, read(t, "../compose/secrets.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("bash", script).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, secret := range compose(t, "cluster.yaml").Secrets {
		text := string(read(t, filepath.Join(dir, "secrets", filepath.Base(secret.File))))
		if strings.TrimSpace(text) == "" {
			t.Errorf("the secret %s is empty", name)
		}
	}
}
