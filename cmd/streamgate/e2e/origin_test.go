package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"

	"streamgate/app/rpc"
)

// importMap lets a page load the packages of connect-web unbundled.
const importMap = `<script type="importmap">{"imports": {
	"@connectrpc/connect": "/lib/@connectrpc/connect/dist/esm/index.js",
	"@connectrpc/connect/": "/lib/@connectrpc/connect/dist/esm/",
	"@connectrpc/connect/protocol": "/lib/@connectrpc/connect/dist/esm/protocol/index.js",
	"@connectrpc/connect/protocol-connect": "/lib/@connectrpc/connect/dist/esm/protocol-connect/index.js",
	"@connectrpc/connect/protocol-grpc": "/lib/@connectrpc/connect/dist/esm/protocol-grpc/index.js",
	"@connectrpc/connect/protocol-grpc-web": "/lib/@connectrpc/connect/dist/esm/protocol-grpc-web/index.js",
	"@connectrpc/connect-web": "/lib/@connectrpc/connect-web/dist/esm/index.js",
	"@bufbuild/protobuf": "/lib/@bufbuild/protobuf/dist/esm/index.js",
	"@bufbuild/protobuf/codegenv1": "/lib/@bufbuild/protobuf/dist/esm/codegenv1/index.js",
	"@bufbuild/protobuf/codegenv2": "/lib/@bufbuild/protobuf/dist/esm/codegenv2/index.js",
	"@bufbuild/protobuf/reflect": "/lib/@bufbuild/protobuf/dist/esm/reflect/index.js",
	"@bufbuild/protobuf/wire": "/lib/@bufbuild/protobuf/dist/esm/wire/index.js",
	"@bufbuild/protobuf/wkt": "/lib/@bufbuild/protobuf/dist/esm/wkt/index.js"}}</script>`

// uppy is the script by which a page has Uppy with its tus plug-in.
func uppy(t *testing.T) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "node_modules/.bin/esbuild", "--bundle", "--format=iife", "--global-name=uppy", "--log-level=warning")
	cmd.Dir = "../../../assets"
	cmd.Stdin = strings.NewReader(`export {default as Uppy} from '@uppy/core'; export {default as Tus} from '@uppy/tus';`)
	script, err := cmd.Output()
	if err != nil {
		t.Fatalf("bundle Uppy (make assets installs it): %v", err)
	}
	return script
}

// newApp is a browser app of another origin: a page with the libraries that
// integrators use, and the schema.
func newApp(t *testing.T) *httptest.Server {
	t.Helper()
	script := uppy(t)
	schema, err := proto.Marshal(filesOf(rpc.File_streamgate_proto))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/lib/", http.StripPrefix("/lib/", http.FileServer(http.Dir("../../../assets/node_modules"))))
	mux.HandleFunc("/uppy.js", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/javascript")
		w.Write(script)
	})
	mux.HandleFunc("/schema", func(w http.ResponseWriter, _ *http.Request) { w.Write(schema) })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><title>app</title><link rel="icon" href="data:,">`+importMap+
			`<script src="/lib/tus-js-client/dist/tus.min.js"></script><script src="/uppy.js"></script>`)
	})
	app := httptest.NewServer(mux)
	t.Cleanup(app.Close)
	return app
}

// filesOf is a file of the schema and, before it, all that it imports.
func filesOf(file protoreflect.FileDescriptor) *descriptorpb.FileDescriptorSet {
	set, seen := &descriptorpb.FileDescriptorSet{}, map[string]bool{}
	var add func(f protoreflect.FileDescriptor)
	add = func(f protoreflect.FileDescriptor) {
		if seen[f.Path()] {
			return
		}
		seen[f.Path()] = true
		for i := range f.Imports().Len() {
			add(f.Imports().Get(i))
		}
		set.File = append(set.File, protodesc.ToFileDescriptorProto(f))
	}
	add(file)
	return set
}

// TestAppOfAnotherOrigin calls the node from a page of another origin with
// fetch, tus-js-client, Uppy, connect-web and EventSource.
func TestAppOfAnotherOrigin(t *testing.T) {
	app := newApp(t)
	n := startNode(t, "--set", "cors.allowed_origins="+app.URL)
	b := openTab(t, app.URL+"/")
	eval[any](b, fmt.Sprintf(`window.node = %q; window.auth = {Authorization: 'Bearer %s'}`, n.url, strings.TrimSpace(n.ctl("keys", "create", "--scope", "admin"))))

	t.Run("fetch", func(t *testing.T) {
		got := eval[map[string]any](b, `
			const made = await fetch(node + '/api/v1/videos', {method: 'POST', body: JSON.stringify({title: 'From afar'}),
				headers: {...auth, 'Content-Type': 'application/json', 'Idempotency-Key': 'one'}});
			const video = await made.json();
			const patched = await fetch(node + '/api/v1/videos/' + video.id, {method: 'PATCH', body: JSON.stringify({title: 'Renamed'}),
				headers: {...auth, 'Content-Type': 'application/json'}});
			const gone = await fetch(node + '/api/v1/videos/' + video.id, {method: 'DELETE', headers: auth});
			const lost = await fetch(node + '/api/v1/videos/' + video.id, {headers: auth});
			const anonymous = await fetch(node + '/api/v1/videos', {credentials: 'omit'});
			return {made: made.status, location: made.headers.get('Location') === node + '/api/v1/videos/' + video.id,
				request: made.headers.get('X-Request-Id').length, title: (await patched.json()).title,
				gone: gone.status, lost: (await lost.json()).code, anonymous: anonymous.status}`)
		want := map[string]any{
			"made": 201.0, "location": true, "request": 32.0, "title": "Renamed", "gone": 204.0, "lost": "video_not_found", "anonymous": 401.0,
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s is %v, want %v", k, got[k], v)
			}
		}
	})
	t.Run("tus", func(t *testing.T) {
		got := eval[string](b, `
			const options = {endpoint: node + '/api/v1/uploads', headers: auth, chunkSize: 300000, retryDelays: null,
				metadata: {filename: 'noise.mp4'}};
			return await new Promise((resolve, reject) => {
				const upload = new tus.Upload(new Blob([new Uint8Array(1000000)]), {...options,
					onError: reject, onSuccess: () => resolve(upload.url)});
				upload.start();
			})`)
		t.Log("uploaded to", got)
	})
	for _, transport := range []string{"createConnectTransport", "createGrpcWebTransport"} {
		t.Run(transport, func(t *testing.T) {
			got := eval[map[string]any](b, fmt.Sprintf(`
				const {createClient, ConnectError} = await import('@connectrpc/connect');
				const web = await import('@connectrpc/connect-web');
				const {createFileRegistry, fromBinary} = await import('@bufbuild/protobuf');
				const {FileDescriptorSetSchema} = await import('@bufbuild/protobuf/wkt');
				const schema = new Uint8Array(await (await fetch('/schema')).arrayBuffer());
				const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, schema));
				const library = createClient(registry.getService('streamgate.Library'), web.%s({baseUrl: node}));
				const {videos} = await library.listVideos({}, {headers: auth});
				let refusal;
				try { await library.getVideo({id: 'none'}, {headers: auth}) } catch (e) { refusal = ConnectError.from(e).rawMessage }
				return {videos: videos.length, refusal}`, transport))
			if got["videos"] != 1.0 || got["refusal"] != `There is no video "none".` {
				t.Errorf("got %v", got)
			}
		})
	}
	t.Run("EventSource", func(t *testing.T) {
		got := eval[map[string]any](b, `
			const ticket = async () => (await (await fetch(node + '/api/v1/events:ticket', {method: 'POST', headers: auth})).json()).ticket;
			const make = async title => (await (await fetch(node + '/api/v1/videos', {method: 'POST',
				body: JSON.stringify({title}), headers: {...auth, 'Content-Type': 'application/json'}})).json()).id;
			const listen = (query) => new Promise((resolve, reject) => {
				const source = new EventSource(node + '/api/v1/events?type=video.*&' + query);
				const heard = [];
				source.onerror = () => reject(new Error('state ' + source.readyState));
				for (const type of ['video.changed', 'events.reset'])
					source.addEventListener(type, e => heard.push({id: e.lastEventId, type, ...JSON.parse(e.data)}));
				source.onopen = () => resolve({source, heard});
			});
			const count = async (heard, n) => { while (heard.length < n) await new Promise(r => setTimeout(r, 20)) };
			const used = await ticket();
			const first = await listen('ticket=' + used);
			const one = await make('one');
			await count(first.heard, 1);
			first.source.close();
			const two = await make('two');
			const second = await listen('ticket=' + await ticket() + '&last_event_id=' + first.heard[0].id);
			await count(second.heard, 1);
			second.source.close();
			const third = await listen('ticket=' + await ticket() + '&last_event_id=long-ago');
			await count(third.heard, 1);
			third.source.close();
			const again = await listen('ticket=' + used).then(() => 'open', e => e.message);
			return {first: first.heard[0].video_id === one, second: second.heard[0].video_id === two,
				third: third.heard[0].type + ' ' + third.heard[0].code, again}`)
		want := map[string]any{"first": true, "second": true, "third": "events.reset history_lost", "again": "state 2"} // CLOSED
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s is %v, want %v", k, got[k], v)
			}
		}
	})
	t.Run("Uppy", func(t *testing.T) { testUppy(t, b) })
	t.Run("origin not allowed", func(t *testing.T) {
		stranger := openTab(t, newApp(t).URL+"/")
		got := eval[string](stranger, fmt.Sprintf(
			`return await fetch(%q, {headers: {Authorization: 'Bearer x'}}).then(r => 'read ' + r.status, e => e.name)`, n.url+"/api/v1/videos"))
		if got != "TypeError" {
			t.Errorf("a page of an origin that is not allowed has %s", got)
		}
	})
}

// testUppy uploads with Uppy: a file in one go; one that is paused and resumed;
// and one again whose video was deleted meanwhile, so that the address that Uppy
// has kept is gone: it begins anew.
func testUppy(t *testing.T, b *tab) {
	got := eval[map[string]any](b, `
		const start = (name, size) => {
			const up = new uppy.Uppy({autoProceed: false}).use(uppy.Tus, {
				endpoint: node + '/api/v1/uploads', headers: auth, chunkSize: 200000, retryDelays: [100], limit: 1, removeFingerprintOnSuccess: false});
			const file = up.addFile({name, type: 'video/mp4', data: new File([new Uint8Array(size)], name, {type: 'video/mp4', lastModified: 1})});
			return {up, file};
		};
		const count = async () => (await (await fetch(node + '/api/v1/videos?limit=200', {headers: auth})).json()).videos.length;
		const before = await count();
		const one = start('one.mp4', 1000000);
		const done = await one.up.upload();
		const at = done.successful[0]?.uploadURL;

		const two = start('two.mp4', 2000000);
		let paused = false, offset = 0;
		two.up.on('upload-progress', (file, p) => {
			if (!paused && p.bytesUploaded > 500000) {
				paused = true;
				two.up.pauseAll();
				setTimeout(async () => {
					const url = Object.keys(localStorage).filter(k => k.startsWith('tus::')).map(k => JSON.parse(localStorage[k]))
						.find(u => u.metadata.filename === 'two.mp4' || u.metadata.name === 'two.mp4').uploadUrl;
					const head = await fetch(url, {method: 'HEAD', headers: {...auth, 'Tus-Resumable': '1.0.0'}});
					offset = +head.headers.get('Upload-Offset');
					two.up.resumeAll();
				}, 300);
			}
		});
		const resumed = await two.up.upload();

		const head = await fetch(at, {method: 'HEAD', headers: {...auth, 'Tus-Resumable': '1.0.0'}});
		const videos = (await (await fetch(node + '/api/v1/videos?limit=200', {headers: auth})).json()).videos;
		const first = videos.find(v => v.title === 'one');
		await fetch(node + '/api/v1/videos/' + first.id, {method: 'DELETE', headers: auth});
		const gone = await fetch(at, {method: 'HEAD', headers: {...auth, 'Tus-Resumable': '1.0.0'}});
		const anew = start('one.mp4', 1000000);
		const again = await anew.up.upload();
		return {done: done.successful.length, failed: done.failed.length + resumed.failed.length + again.failed.length,
			resumed: resumed.successful.length, begun: offset > 0 && offset < 2000000, kept: head.status, gone: gone.status,
			again: again.successful.length, elsewhere: again.successful[0]?.uploadURL !== at, videos: await count() - before}`)
	want := map[string]any{
		"done": 1.0, "failed": 0.0, "resumed": 1.0, "begun": true, "kept": 200.0, "gone": 410.0, "again": 1.0, "elsewhere": true, "videos": 2.0,
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %v, want %v", k, got[k], v)
		}
	}
}
