package gateway

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// useOfClient uses a generated client as an integrator would.
const useOfClient = `import type { paths, components } from "./api";
type Video = components["schemas"]["streamgate.Video"];
type List = paths["/api/v1/videos"]["get"]["responses"]["200"]["content"]["application/json"];
type Problem = paths["/api/v1/videos"]["get"]["responses"]["401"]["content"]["application/problem+json"];
export const names = (l: List): string[] =>
  l.videos.map((v: Video) => v.title + v.created_at.length + v.renditions.map((r) => r.name.length).join());
export const code = (p: Problem): string => p.code.toUpperCase();
export const state = (v: Video): "uploading" | "processing" | "playable" | "ready" | "failed" => v.state;
// @ts-expect-error: an error is there only if something failed
export const failed = (v: Video): string => v.error.code;
export const reason = (d: components["schemas"]["streamgate.Decision"]): "" | "not_a_holder" | undefined =>
  d.reason === "" || d.reason === "not_a_holder" ? d.reason : undefined;
export const scope: components["schemas"]["streamgate.CreateKeyRequest"]["scope"] = "uploader";
// @ts-expect-error: no code of a problem
export const noCode: Problem["code"] = "video_lost";
// @ts-expect-error: no state of a video
export const wrong: Video["state"] = "done";
`

// The description passes the recommended rules of redocly, and a client that is
// generated from it compiles under strict.
func TestOpenAPITools(t *testing.T) {
	bin, err := filepath.Abs("../../assets/node_modules/.bin")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, text := range map[string]string{"use.ts": useOfClient, "openapi.json": string(openAPI)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{
		{"redocly", "lint", "openapi.json", "--extends=recommended-strict"},
		{"openapi-typescript", "openapi.json", "-o", "api.ts"},
		{"tsc", "--strict", "--noEmit", "use.ts"},
	} {
		cmd := exec.CommandContext(t.Context(), filepath.Join(bin, args[0]), args[1:]...)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
