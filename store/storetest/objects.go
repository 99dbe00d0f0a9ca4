package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"streamgate/store"
)

// TestObjects checks a store.Objects. open returns an empty one that is
// closed by the test's cleanup.
func TestObjects(t *testing.T, open func(t *testing.T) store.Objects) {
	for _, test := range []struct {
		name string
		run  func(*objectsTest)
	}{
		{"put and get", (*objectsTest).put},
		{"get can seek", (*objectsTest).seek},
		{"put replaces", (*objectsTest).replace},
		{"put is whole or nothing", (*objectsTest).putFails},
		{"put of another size", (*objectsTest).putSize},
		{"put of an unknown size", (*objectsTest).putUnknown},
		{"put if absent", (*objectsTest).ifAbsent},
		{"put if absent, together", (*objectsTest).ifAbsentTogether},
		{"put stops with its context", (*objectsTest).putCancelled},
		{"adopt takes the file", (*objectsTest).adopt},
		{"adopt of what is no file", (*objectsTest).adoptBad},
		{"compose joins parts", (*objectsTest).compose},
		{"compose of what is not there", (*objectsTest).composeMissing},
		{"input can be read", (*objectsTest).input},
		{"delete takes whole parts", (*objectsTest).delete},
		{"list is in key order", (*objectsTest).lists},
		{"unknown keys", (*objectsTest).unknown},
		{"keys of the alphabet", (*objectsTest).goodKeys},
		{"other keys are refused", (*objectsTest).badKeys},
		{"a list can be left", (*objectsTest).listLeft},
		{"space and ping", (*objectsTest).space},
		{"a cancelled context changes nothing", (*objectsTest).cancelledContext},
		{"a reader sees one version whole", (*objectsTest).oneVersion},
		{"put against delete", (*objectsTest).putVersusDelete},
	} {
		t.Run(test.name, func(t *testing.T) { test.run(&objectsTest{t, open(t)}) })
	}
}

// objectsTest is one subtest with its objects.
type objectsTest struct {
	*testing.T
	objects store.Objects
}

func (o *objectsTest) store(key, data string) store.Object {
	o.Helper()
	obj, err := store.PutBytes(o.Context(), o.objects, key, []byte(data), store.Replace)
	check(o.T, err)
	return obj
}

// wantData checks what Get, Stat and List tell of an object.
func (o *objectsTest) wantData(key, data string) store.Object {
	o.Helper()
	r, obj, err := o.objects.Get(o.Context(), key)
	check(o.T, err)
	got, err := io.ReadAll(r)
	check(o.T, errors.Join(err, r.Close()))
	if string(got) != data {
		o.Fatalf("%s: got %.40q (%d bytes), want %.40q", key, got, len(got), data)
	}
	same(o.T, "key", obj.Key, key)
	same(o.T, "size", obj.Size, int64(len(data)))
	if obj.ETag == "" || strings.ContainsAny(obj.ETag, "\" \n") {
		o.Errorf("%s: odd ETag: %+v", key, obj)
	}
	stat, err := o.objects.Stat(o.Context(), key)
	check(o.T, err)
	same(o.T, "stat", stat, obj)
	same(o.T, "list", o.list(key), []store.Object{obj})
	return obj
}

func (o *objectsTest) wantNone(key string) {
	o.Helper()
	_, _, err := o.objects.Get(o.Context(), key)
	wantErr(o.T, "get "+key, err, store.ErrNotFound)
	_, err = o.objects.Stat(o.Context(), key)
	wantErr(o.T, "stat "+key, err, store.ErrNotFound)
	_, _, err = o.objects.Input(o.Context(), key)
	wantErr(o.T, "input "+key, err, store.ErrNotFound)
}

func (o *objectsTest) list(prefix string) []store.Object {
	o.Helper()
	list, err := List(o.Context(), o.objects, prefix)
	check(o.T, err)
	return list
}

// List collects a list of objects, as far as it goes.
func List(ctx context.Context, objects store.Objects, prefix string) (list []store.Object, err error) {
	for obj, err := range objects.List(ctx, prefix) {
		if err != nil {
			return list, err
		}
		list = append(list, obj)
	}
	return list, nil
}

func (o *objectsTest) wantKeys(prefix string, want ...string) {
	o.Helper()
	var keys []string
	for _, obj := range o.list(prefix) {
		keys = append(keys, obj.Key)
	}
	same(o.T, fmt.Sprintf("keys under %q", prefix), keys, want)
}

func (o *objectsTest) put() {
	for key, data := range map[string]string{
		store.CellKey("v1", "720p", 17): strings.Repeat("cell", 100_000),
		store.SourceKey("v1"):           "source",
		"empty":                         "",
	} {
		obj := o.store(key, data)
		same(o.T, "returned", obj, o.wantData(key, data))
	}
}

func (o *objectsTest) seek() {
	o.store("a", "0123456789")
	r, _, err := o.objects.Get(o.Context(), "a")
	check(o.T, err)
	defer r.Close()
	for _, at := range []int64{7, 2} {
		_, err = r.Seek(at, io.SeekStart)
		check(o.T, err)
		part := make([]byte, 3)
		_, err = io.ReadFull(r, part)
		check(o.T, err)
		same(o.T, "part", string(part), "0123456789"[at:at+3])
	}
	end, err := r.Seek(0, io.SeekEnd)
	check(o.T, err)
	same(o.T, "end", end, int64(10))
}

// replace puts versions of one size so quickly that a clock may not tell.
func (o *objectsTest) replace() {
	tags := make(map[string]bool)
	for i := range 8 {
		data := fmt.Sprint("version ", i)
		o.store("a/b", data)
		tags[o.wantData("a/b", data).ETag] = true
	}
	same(o.T, "different ETags", len(tags), 8)
	o.store("a/b", "")
	o.wantData("a/b", "")
}

func (o *objectsTest) putFails() {
	broken := errors.New("the wire broke")
	half := func() io.Reader {
		return io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000)), failing{broken})
	}
	_, err := o.objects.Put(o.Context(), "new/key", half(), 200_000, store.Replace)
	wantErr(o.T, "put", err, broken)
	o.wantNone("new/key")
	o.wantKeys("new/")

	o.store("old", "whole")
	_, err = o.objects.Put(o.Context(), "old", half(), store.UnknownSize, store.Replace)
	wantErr(o.T, "put", err, broken)
	o.wantData("old", "whole")
}

func (o *objectsTest) putCancelled() {
	ctx, cancel := context.WithCancel(o.Context())
	defer cancel()
	r := io.MultiReader(strings.NewReader("first part"), calling{cancel}, neverEnding{})
	_, err := o.objects.Put(ctx, "a", r, store.UnknownSize, store.Replace)
	wantErr(o.T, "put", err, context.Canceled)
	o.wantNone("a")
}

func (o *objectsTest) adopt() {
	path := filepath.Join(o.TempDir(), "upload")
	for _, data := range []string{"first", "second"} {
		check(o.T, os.WriteFile(path, []byte(data), 0o600))
		obj, err := o.objects.Adopt(o.Context(), "videos/v1/source", path)
		check(o.T, err)
		same(o.T, "returned", obj, o.wantData("videos/v1/source", data))
		_, err = os.Stat(path)
		wantErr(o.T, "the file", err, os.ErrNotExist)
	}
}

// compose joins parts in their order, and leaves them.
func (o *objectsTest) compose() {
	big := func(c byte, more int) string { return strings.Repeat(string(rune(c)), int(store.ComposeMin)+more) }
	parts := map[string]string{"p/1": big('a', 0), "p/2": big('b', 7), "p/3": "the tail"}
	for key, data := range parts {
		o.store(key, data)
	}
	whole := parts["p/1"] + parts["p/2"] + parts["p/3"]
	obj, err := o.objects.Compose(o.Context(), "v/source", []string{"p/1", "p/2", "p/3"}, store.IfAbsent)
	check(o.T, err)
	same(o.T, "returned", obj, o.wantData("v/source", whole))
	again, err := o.objects.Compose(o.Context(), "v/source", []string{"p/3"}, store.IfAbsent)
	check(o.T, err)
	same(o.T, "what is there", again, obj)
	o.wantData("v/source", whole)
	for _, keys := range [][]string{{"p/3"}, {"p/2", "p/1"}, {"p/1", "p/1", "p/3"}} {
		var want string
		for _, key := range keys {
			want += parts[key]
		}
		obj, err := o.objects.Compose(o.Context(), "v/source", keys, store.Replace)
		check(o.T, err)
		same(o.T, "returned", obj, o.wantData("v/source", want))
	}
	o.wantKeys("", "p/1", "p/2", "p/3", "v/source")
	check(o.T, o.objects.Delete(o.Context(), "p/"))
	o.wantData("v/source", parts["p/1"]+parts["p/1"]+parts["p/3"])
}

func (o *objectsTest) composeMissing() {
	o.store("p/1", strings.Repeat("a", int(store.ComposeMin)))
	for _, keys := range [][]string{{"p/2"}, {"p/1", "p/2"}} {
		_, err := o.objects.Compose(o.Context(), "v/source", keys, store.Replace)
		wantErr(o.T, "compose", err, store.ErrNotFound)
	}
	if _, err := o.objects.Compose(o.Context(), "v/source", nil, store.Replace); err == nil {
		o.Error("composed of nothing")
	}
	o.wantKeys("", "p/1")
}

func (o *objectsTest) adoptBad() {
	dir := o.TempDir()
	for _, path := range []string{filepath.Join(dir, "missing"), dir} {
		if _, err := o.objects.Adopt(o.Context(), "a", path); err == nil {
			o.Errorf("adopted %s", path)
		}
	}
	o.wantNone("a")
}

func (o *objectsTest) putSize() {
	for _, size := range []int64{0, 3, 5} {
		_, err := o.objects.Put(o.Context(), "new/key", strings.NewReader("four"), size, store.Replace)
		if err == nil {
			o.Errorf("put four bytes as %d", size)
		}
		o.wantNone("new/key")
	}
}

func (o *objectsTest) putUnknown() {
	for _, n := range []int{0, 1, 300_000} {
		data := strings.Repeat("x", n)
		obj, err := o.objects.Put(o.Context(), "a", strings.NewReader(data), store.UnknownSize, store.Replace)
		check(o.T, err)
		same(o.T, "returned", obj, o.wantData("a", data))
	}
}

func (o *objectsTest) ifAbsent() {
	first, err := store.PutBytes(o.Context(), o.objects, "a/b", []byte("first"), store.IfAbsent)
	check(o.T, err)
	same(o.T, "returned", first, o.wantData("a/b", "first"))
	for _, data := range []string{"second, longer", "first", ""} {
		obj, err := store.PutBytes(o.Context(), o.objects, "a/b", []byte(data), store.IfAbsent)
		check(o.T, err)
		same(o.T, "what is there", obj, first)
		same(o.T, "what stays", o.wantData("a/b", "first"), first)
	}
	check(o.T, o.objects.Delete(o.Context(), "a/b"))
	_, err = store.PutBytes(o.Context(), o.objects, "a/b", []byte("after"), store.IfAbsent)
	check(o.T, err)
	o.wantData("a/b", "after")
	o.store("a/b", "replaced")
	o.wantData("a/b", "replaced")
}

// ifAbsentTogether: of many who make one object, one makes it, and all are told
// of that one.
func (o *objectsTest) ifAbsentTogether() {
	var told [8]store.Object
	together(len(told), func(i int) {
		data := bytes.Repeat([]byte{byte('a' + i)}, 50_000+i)
		obj, err := store.PutBytes(o.Context(), o.objects, "a/b", data, store.IfAbsent)
		if err != nil {
			o.Errorf("put: %v", err)
		}
		told[i] = obj
	})
	i := int(told[0].Size) - 50_000
	if i < 0 || i >= len(told) {
		o.Fatalf("told of an object that nobody made: %+v", told[0])
	}
	obj := o.wantData("a/b", strings.Repeat(string(rune('a'+i)), 50_000+i))
	for _, other := range told {
		same(o.T, "told", other, obj)
	}
}

func (o *objectsTest) input() {
	o.store("a/b", "0123456789")
	in, release, err := o.objects.Input(o.Context(), "a/b")
	check(o.T, err)
	defer release()
	same(o.T, "data", ReadInput(o.T, in, 0), "0123456789")
	same(o.T, "from the middle on", ReadInput(o.T, in, 5), "56789")
}

// ReadInput reads an input from an offset on, as ffmpeg would.
func ReadInput(t *testing.T, in store.Input, from int64) string {
	t.Helper()
	if (in.Path == "") == (in.URL == "") {
		t.Fatalf("not one of path and URL: %+v", in)
	}
	if in.Path != "" {
		data, err := os.ReadFile(in.Path)
		check(t, err)
		return string(data[from:])
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, in.URL, http.NoBody)
	check(t, err)
	if req.URL.Hostname() != "127.0.0.1" {
		t.Fatalf("the input is not on loopback: %s", in.URL)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
	res, err := http.DefaultClient.Do(req)
	check(t, err)
	defer res.Body.Close()
	same(t, "status", res.StatusCode, http.StatusPartialContent)
	data, err := io.ReadAll(res.Body)
	check(t, err)
	return string(data)
}

func (o *objectsTest) delete() {
	for _, key := range []string{"v/1/a", "v/1/b/c", "v/10/a", "v/1.x", "w"} {
		o.store(key, key)
	}
	check(o.T, o.objects.Delete(o.Context(), "v/1")) // no whole key
	check(o.T, o.objects.Delete(o.Context(), "w/"))  // no leading part of one
	o.wantKeys("", "v/1.x", "v/1/a", "v/1/b/c", "v/10/a", "w")
	check(o.T, o.objects.Delete(o.Context(), "v/1/"))
	check(o.T, o.objects.Delete(o.Context(), "v/1/"))
	o.wantNone("v/1/a")
	o.wantKeys("", "v/1.x", "v/10/a", "w")
	check(o.T, o.objects.Delete(o.Context(), "w"))
	check(o.T, o.objects.Delete(o.Context(), "v/10/a/deeper"))
	check(o.T, o.objects.Delete(o.Context(), "v/10/a/deeper/"))
	check(o.T, o.objects.Delete(o.Context(), "nothing/here"))
	check(o.T, o.objects.Delete(o.Context(), "nothing/here/"))
	o.wantKeys("", "v/1.x", "v/10/a")
	for _, prefix := range []string{"", "/"} {
		if o.objects.Delete(o.Context(), prefix) == nil {
			o.Errorf("the prefix %q deleted everything", prefix)
		}
	}
	o.store("v/1/a", "again")
	o.wantData("v/1/a", "again")
}

func (o *objectsTest) lists() {
	o.wantKeys("")
	o.wantKeys("a")
	o.wantKeys("a/")
	// '-' and '.' sort before '/', letters after it.
	want := []string{"a-b", "a.b", "a/b", "a/c/d", "a0", "b"}
	for i := range want {
		o.store(want[len(want)-1-i], "x")
	}
	o.wantKeys("", want...)
	o.wantKeys("a/", "a/b", "a/c/d")
	o.wantKeys("a/c/", "a/c/d")
	o.wantKeys("a/b", "a/b")
	o.wantKeys("a")
	o.wantKeys("a/b/")
	o.wantKeys("a/b/c")
}

func (o *objectsTest) listLeft() {
	for _, key := range []string{"a/1", "a/2", "a/3"} {
		o.store(key, key)
	}
	var keys []string
	for obj, err := range o.objects.List(o.Context(), "a/") {
		check(o.T, err)
		if keys = append(keys, obj.Key); len(keys) == 2 {
			break
		}
	}
	same(o.T, "the first two", keys, []string{"a/1", "a/2"})
}

func (o *objectsTest) unknown() {
	o.store("a/b", "x")
	for _, key := range []string{"nobody", "a", "a/c", "a/b/c", "a/b/c/d"} {
		o.wantNone(key)
	}
}

func (o *objectsTest) goodKeys() {
	for _, key := range []string{
		"a", "0", "-", "_", ".a", "..a", "a..", "...", ".tmp", "tmp/x", "put-1", "b/.b/-c",
		strings.Repeat("x", 200) + "/" + strings.Repeat("y", 55),
	} {
		o.store(key, key)
		o.wantData(key, key)
	}
}

func (o *objectsTest) badKeys() {
	for _, key := range []string{
		"", "/", "/a", "a/", "a//b", ".", "..", "../a", "a/..", "a/../../b", "a/./b",
		"A", "a b", "a\\b", "a\x00b", "a\nb", "ä", "a:b", "~tmp", "%2e%2e", "\xff",
		strings.Repeat("x", 257),
	} {
		calls := map[string]func() error{
			"put": func() error {
				_, err := store.PutBytes(o.Context(), o.objects, key, []byte("x"), store.Replace)
				return err
			},
			"adopt": func() error { _, err := o.objects.Adopt(o.Context(), key, os.DevNull); return err },
			"compose": func() error {
				_, err := o.objects.Compose(o.Context(), key, []string{"x"}, store.Replace)
				return err
			},
			"compose of it": func() error {
				_, err := o.objects.Compose(o.Context(), "x", []string{key}, store.Replace)
				return err
			},
			"get":    func() error { _, _, err := o.objects.Get(o.Context(), key); return err },
			"stat":   func() error { _, err := o.objects.Stat(o.Context(), key); return err },
			"input":  func() error { _, _, err := o.objects.Input(o.Context(), key); return err },
			"delete": func() error { return o.objects.Delete(o.Context(), key) },
			"list":   func() error { _, err := List(o.Context(), o.objects, key); return err },
		}
		if key == "a/" { // but a prefix
			delete(calls, "delete")
			delete(calls, "list")
		}
		if key == "" {
			delete(calls, "list")
		}
		for name, call := range calls {
			if err := call(); err == nil || errors.Is(err, store.ErrNotFound) {
				o.Errorf("%s %.40q: got error %v, want a refusal", name, key, err)
			}
		}
	}
	o.wantKeys("")
}

func (o *objectsTest) space() {
	free, total, err := o.objects.Space(o.Context())
	check(o.T, err)
	if free <= 0 || free > total {
		o.Errorf("%d bytes free of %d", free, total)
	}
	check(o.T, o.objects.Ping(o.Context()))
}

func (o *objectsTest) cancelledContext() {
	o.store("a", "x")
	path := filepath.Join(o.TempDir(), "upload")
	check(o.T, os.WriteFile(path, []byte("y"), 0o600))
	ctx := cancelled(o.T)
	for name, call := range map[string]func() error{
		"put":    func() error { _, err := store.PutBytes(ctx, o.objects, "a", []byte("y"), store.Replace); return err },
		"absent": func() error { _, err := store.PutBytes(ctx, o.objects, "a", []byte("y"), store.IfAbsent); return err },
		"adopt":  func() error { _, err := o.objects.Adopt(ctx, "b", path); return err },
		"compose": func() error {
			_, err := o.objects.Compose(ctx, "b", []string{"a"}, store.Replace)
			return err
		},
		"get":    func() error { _, _, err := o.objects.Get(ctx, "a"); return err },
		"stat":   func() error { _, err := o.objects.Stat(ctx, "a"); return err },
		"input":  func() error { _, _, err := o.objects.Input(ctx, "a"); return err },
		"delete": func() error { return o.objects.Delete(ctx, "a") },
		"list":   func() error { _, err := List(ctx, o.objects, ""); return err },
		"space":  func() error { _, _, err := o.objects.Space(ctx); return err },
		"ping":   func() error { return o.objects.Ping(ctx) },
	} {
		wantErr(o.T, name, call(), context.Canceled)
	}
	o.wantKeys("", "a")
	o.wantData("a", "x")
	_, err := os.Stat(path)
	check(o.T, err)
}

// oneVersion reads while others replace: never a mix, never nothing, and the
// size told is the size read.
func (o *objectsTest) oneVersion() {
	version := func(i int) string { return strings.Repeat(string(rune('a'+i)), 10_000+i) }
	o.store("k", version(0))
	together(6, func(i int) {
		for range 10 {
			if i < 3 {
				if _, err := store.PutBytes(o.Context(), o.objects, "k", []byte(version(i)), store.Replace); err != nil {
					o.Errorf("put: %v", err)
				}
				continue
			}
			r, obj, err := o.objects.Get(o.Context(), "k")
			if err != nil {
				o.Errorf("get: %v", err)
				return
			}
			data, err := io.ReadAll(r)
			if err = errors.Join(err, r.Close()); err != nil {
				o.Errorf("read: %v", err)
			}
			if int64(len(data)) != obj.Size || bytes.Count(data, data[:1]) != len(data) {
				o.Errorf("read %d bytes of %d, mixed or cut", len(data), obj.Size)
			}
		}
	})
}

// putVersusDelete: a Put into a prefix that is being deleted either is gone or
// is whole, and never fails because a folder vanished.
func (o *objectsTest) putVersusDelete() {
	together(4, func(i int) {
		for n := range 10 {
			if i == 0 {
				if err := o.objects.Delete(o.Context(), "v/1/"); err != nil {
					o.Errorf("delete: %v", err)
				}
				continue
			}
			key := fmt.Sprintf("v/1/r%d/%d", i, n)
			if _, err := store.PutBytes(o.Context(), o.objects, key, []byte(key), store.Replace); err != nil {
				o.Errorf("put: %v", err)
			}
		}
	})
	for _, obj := range o.list("v/1/") {
		o.wantData(obj.Key, obj.Key)
	}
}

// failing is a reader that fails.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// calling is an empty reader that calls a function when it is read.
type calling struct{ fn func() }

func (c calling) Read([]byte) (int, error) {
	c.fn()
	return 0, io.EOF
}

// neverEnding is a reader without end.
type neverEnding struct{}

func (neverEnding) Read(p []byte) (int, error) { return len(p), nil }
