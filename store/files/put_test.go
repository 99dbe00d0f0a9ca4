package files

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"streamgate/store"
)

// Another disk than the temporary files': what /dev/shm is on Linux.
func TestAdoptAcrossDisks(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	local, err := os.CreateTemp("/dev/shm", "adopt-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.Remove(local.Name())
	if _, err := local.WriteString("from afar"); err != nil {
		t.Fatal(err)
	}
	if err := local.Close(); err != nil {
		t.Fatal(err)
	}
	o, err := s.Adopt(t.Context(), "a/b", local.Name())
	if err != nil {
		t.Fatal(err)
	}
	in, release, err := s.Input(t.Context(), "a/b")
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	data, err := os.ReadFile(in.Path)
	if err != nil || string(data) != "from afar" || o.Size != int64(len(data)) {
		t.Errorf("adopted %q (%+v), %v", data, o, err)
	}
	if _, err := os.Stat(local.Name()); !strings.Contains(fmt.Sprint(err), "no such file") {
		t.Errorf("the adopted file is still there (%v)", err)
	}
}

func TestPutKeepsTheReserve(t *testing.T) {
	s, err := Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s.Reserve = 1 << 62 // more than any disk has
	if _, err := store.PutBytes(t.Context(), s, "a", []byte("x"), store.Replace); !errors.Is(err, store.ErrFull) {
		t.Errorf("Put into the reserve: %v, want ErrFull", err)
	}
	if _, err := s.Stat(t.Context(), "a"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("something was kept of it: %v", err)
	}
	s.Reserve = 1
	if _, err := store.PutBytes(t.Context(), s, "a", []byte("x"), store.Replace); err != nil {
		t.Errorf("Put with room to spare: %v", err)
	}
}
