package files_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"streamgate/store"
	"streamgate/store/files"
	"streamgate/store/storetest"
)

func TestObjects(t *testing.T) {
	storetest.TestObjects(t, func(t *testing.T) store.Objects { return open(t, t.TempDir()) })
}

// A healthy Faulty changes nothing.
func TestObjectsThroughFaulty(t *testing.T) {
	storetest.TestObjects(t, func(t *testing.T) store.Objects { return storetest.Faulty(open(t, t.TempDir())) })
}

func TestOpenRemovesWhatIsUnfinished(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "here")
	put(t, open(t, dir), "a/b", "kept")
	writeFile(t, filepath.Join(dir, "~tmp", "put-123"))
	writeFile(t, filepath.Join(dir, "~tmp", "delete-123", "tree", "x"))

	s := open(t, dir)
	wantTree(t, dir, "a", "a/b", "~tmp")
	if _, err := s.Stat(t.Context(), "a/b"); err != nil {
		t.Error(err)
	}
}

func TestOpenFailsWhereNoFolderCanBe(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	writeFile(t, file)
	if _, err := files.Open(file); err == nil {
		t.Error("opened a file as a folder")
	}
}

func TestNothingIsLeftBehind(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	put(t, s, "v/1/720p/0.m4s", "x")
	put(t, s, "v/2/source", "x")
	if _, err := s.Put(t.Context(), "v/1/a", failing{}, 1, store.Replace); err == nil {
		t.Error("put of a broken reader succeeded")
	}
	if _, err := store.PutBytes(t.Context(), s, "v", []byte("x"), store.Replace); err == nil {
		t.Error("an object took the place of a folder")
	}
	if _, err := store.PutBytes(t.Context(), s, "v/2/source/x", []byte("x"), store.Replace); err == nil {
		t.Error("an object took a folder's part")
	}
	wantTree(t, dir, "v", "v/1", "v/1/720p", "v/1/720p/0.m4s", "v/2", "v/2/source", "~tmp")

	for _, prefix := range []string{"v/1/720p/0.m4s", "v/2/"} {
		if err := s.Delete(t.Context(), prefix); err != nil {
			t.Fatal(err)
		}
	}
	wantTree(t, dir, "~tmp")
}

func TestGetIsAFile(t *testing.T) {
	s := open(t, t.TempDir())
	put(t, s, "a", "x")
	r, _, err := s.Get(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, ok := r.(*os.File); !ok {
		t.Errorf("Get returned a %T, which the kernel cannot send", r)
	}
}

// A link below the root is an operator's doing, but it is not an object.
func TestLinksAreNotListed(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	if err := os.Symlink("/", filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for o, err := range s.List(t.Context(), "") {
		t.Errorf("listed %v, %v", o, err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func open(t *testing.T, dir string) *files.Store {
	t.Helper()
	s, err := files.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func put(t *testing.T, s *files.Store, key, data string) {
	t.Helper()
	if _, err := store.PutBytes(t.Context(), s, key, []byte(data), store.Replace); err != nil {
		t.Fatal(err)
	}
}

func writeFile(t *testing.T, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// wantTree checks the paths below dir.
func wantTree(t *testing.T, dir string, want ...string) {
	t.Helper()
	var got []string
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if path != dir {
			got = append(got, strings.TrimPrefix(path, dir+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the folder has\n%v, want\n%v", got, want)
	}
}
