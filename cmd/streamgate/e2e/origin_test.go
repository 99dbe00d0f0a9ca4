package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
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

// newApp is a browser app of another origin: a page with the libraries that
// integrators use, and the schema.
func newApp(t *testing.T) *httptest.Server {
	t.Helper()
	schema, err := proto.Marshal(filesOf(rpc.File_streamgate_proto))
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/lib/", http.StripPrefix("/lib/", http.FileServer(http.Dir("../../../assets/node_modules"))))
	mux.HandleFunc("/schema", func(w http.ResponseWriter, _ *http.Request) { w.Write(schema) })
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `<!doctype html><title>app</title><link rel="icon" href="data:,">`+importMap+
			`<script src="/lib/tus-js-client/dist/tus.min.js"></script>`)
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
// fetch, tus-js-client and connect-web.
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
	t.Run("origin not allowed", func(t *testing.T) {
		stranger := openTab(t, newApp(t).URL+"/")
		got := eval[string](stranger, fmt.Sprintf(
			`return await fetch(%q, {headers: {Authorization: 'Bearer x'}}).then(r => 'read ' + r.status, e => e.name)`, n.url+"/api/v1/videos"))
		if got != "TypeError" {
			t.Errorf("a page of an origin that is not allowed has %s", got)
		}
	})
}
