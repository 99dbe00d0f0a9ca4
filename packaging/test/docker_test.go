package packaging

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

const dockerfile = "../docker/Dockerfile"

// stages parses the Dockerfile with BuildKit's own parser.
func stages(t *testing.T) []instructions.Stage {
	t.Helper()
	parsed, err := parser.Parse(bytes.NewReader(read(t, dockerfile)))
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed.Warnings) > 0 {
		t.Errorf("BuildKit warns: %v", parsed.Warnings)
	}
	out, _, err := instructions.Parse(parsed.AST, nil)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func dockerTargets(t *testing.T) (names []string) {
	t.Helper()
	for _, s := range stages(t) {
		names = append(names, s.Name)
	}
	return names
}

// image is what a target comes to, with what it has of those that it is built on.
type image struct {
	user, healthcheck string
	entrypoint, cmd   []string
	env               map[string]string
	volumes, ports    []string
}

func imageOf(t *testing.T, all []instructions.Stage, name string) image {
	t.Helper()
	i := slices.IndexFunc(all, func(s instructions.Stage) bool { return s.Name == name })
	if i < 0 {
		return image{env: map[string]string{}}
	}
	out := imageOf(t, all, all[i].BaseName)
	for _, c := range all[i].Commands {
		switch c := c.(type) {
		case *instructions.UserCommand:
			out.user = c.User
		case *instructions.HealthCheckCommand:
			out.healthcheck = strings.Join(c.Health.Test, " ")
		case *instructions.EntrypointCommand:
			out.entrypoint = c.CmdLine
		case *instructions.CmdCommand:
			out.cmd = c.CmdLine
		case *instructions.EnvCommand:
			for _, e := range c.Env {
				out.env[e.Key] = e.Value
			}
		case *instructions.VolumeCommand:
			out.volumes = append(out.volumes, c.Volumes...)
		case *instructions.ExposeCommand:
			out.ports = append(out.ports, c.Ports...)
		}
	}
	return out
}

// TestDockerfile: there is a target for each role and the monolith; none runs as root,
// each says how it is, keeps its data in a volume and starts what it is called.
func TestDockerfile(t *testing.T) {
	all := stages(t)
	for _, name := range append([]string{"monolith"}, roles...) {
		if !slices.Contains(dockerTargets(t), name) {
			t.Errorf("there is no target %s", name)
			continue
		}
		i := imageOf(t, all, name)
		want := []string{"serve", "--role", name}
		if name == "monolith" {
			want = want[:1]
		}
		if !slices.Equal(i.entrypoint, []string{"streamgate"}) || !slices.Equal(i.cmd, want) {
			t.Errorf("%s runs %v %v", name, i.entrypoint, i.cmd)
		}
		if user, _, _ := strings.Cut(i.user, ":"); user == "" || user == "root" || strings.Trim(user, "0123456789") != "" || strings.Trim(user, "0") == "" {
			t.Errorf("%s runs as %q; Kubernetes' runAsNonRoot needs a number", name, i.user)
		}
		if !strings.Contains(i.healthcheck, "streamgate healthcheck") || !slices.Contains(i.volumes, i.env["STREAMGATE_DATA_DIR"]) {
			t.Errorf("%s: its health is %q, its volumes %v", name, i.healthcheck, i.volumes)
		}
		public := slices.Contains(i.ports, "8080")
		if public != (name == "monolith" || name == "api-gateway") {
			t.Errorf("%s: it exposes %v", name, i.ports)
		}
		delete(i.env, "STREAMGATE_DEPLOYMENT_MODE") // a cluster's needs more than the image has
		checkEnv(t, i.env)
	}
}
