package bolt

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"
)

// applied writes down what a record does.
type applied struct{ ops []string }

func (a *applied) has(bucket string) bool { return bucket != "unknown" }

func (a *applied) put(bucket string, key, value []byte) error {
	a.ops = append(a.ops, fmt.Sprintf("put %s %s=%s", bucket, key, value))
	return nil
}

func (a *applied) delete(bucket string, key []byte) error {
	a.ops = append(a.ops, fmt.Sprintf("delete %s %s", bucket, key))
	return nil
}

func (a *applied) setSequence(bucket string, n uint64) error {
	a.ops = append(a.ops, fmt.Sprintf("sequence %s %d", bucket, n))
	return nil
}

func testRecord() []byte {
	record := make([]byte, recordHeader)
	record = appendOp(record, opPut, []byte("jobs"), []byte("a"), []byte("{}"))
	record = appendOp(record, opDelete, []byte("jobs.ready"), []byte("k"))
	return appendOp(record, opSequence, []byte("jobs"), []byte{0, 0, 0, 0, 0, 0, 0, 9})
}

func testMeta() meta {
	m := make(meta, metaSize)
	for i := range m {
		m[i] = byte(i)
	}
	return m
}

func tempRedo(t *testing.T) (*redo, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "test.db")
	r, err := openRedo(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.close() })
	return r, path
}

// The layout of the files: what one version writes the next must read.
func TestRedoLayout(t *testing.T) {
	r, path := tempRedo(t)
	if err := errors.Join(r.begin(testMeta()), r.mark(markDurable, r.generation), r.append(testRecord())); err != nil {
		t.Fatal(err)
	}
	file := content(t, redoPath(path, 1))
	if len(file) != redoSize {
		t.Errorf("the file has %d bytes", len(file))
	}
	for _, part := range []struct {
		name     string
		at, size int
		want     string
	}{
		{"header", 0, 100, "53477265646f310a0000000000000001" +
			"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f404142434445464748494a4b4c4d4e4f" +
			"c0a6e306"},
		{"durable", 512, 12, "00000000000000017e433189"},
		{"clean", 1024, 12, "000000000000000000000000"},
		{"record", redoRecords, recordHeader + 40, "00000028464283df70046a6f62730161027b7d640a6a6f62732e7265616479016b73046a6f6273080000000000000009"},
	} {
		if got := hex.EncodeToString(file[part.at : part.at+part.size]); got != part.want {
			t.Errorf("%s: got %s, want %s", part.name, got, part.want)
		}
	}
	h, ok := readHeader(bytes.NewReader(file))
	if !ok || h.generation != 1 || !bytes.Equal(h.base, testMeta()) || !h.durable || h.clean {
		t.Errorf("read back %+v, %v", h, ok)
	}
}

func TestRedoRecords(t *testing.T) {
	r, path := tempRedo(t)
	if err := errors.Join(r.begin(testMeta()), r.append(testRecord()), r.append(testRecord())); err != nil {
		t.Fatal(err)
	}
	second := int(r.at) - len(testRecord())
	whole := content(t, redoPath(path, 1))
	for _, tc := range []struct {
		name       string
		generation uint64
		damage     func([]byte) []byte
		want       int // records
	}{
		{"whole", 1, func(b []byte) []byte { return b }, 2},
		{"another generation", 3, func(b []byte) []byte { return b }, 0},
		{"second torn", 1, func(b []byte) []byte { b[second+20] ^= 1; return b }, 1},
		{"second's length torn", 1, func(b []byte) []byte { b[second] = 0xff; return b }, 1},
		{"first torn", 1, func(b []byte) []byte { b[redoRecords+9] ^= 1; return b }, 0},
		{"cut off", 1, func(b []byte) []byte { return b[:second+10] }, 1},
		{"nothing", 1, func([]byte) []byte { return nil }, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got applied
			n := 0
			err := records(tc.damage(bytes.Clone(whole)), tc.generation, func(payload []byte) error {
				n++
				return apply(payload, &got)
			})
			if err != nil || n != tc.want {
				t.Errorf("%d records, error %v; want %d", n, err, tc.want)
			}
			want := strings.Repeat("put jobs a={}|delete jobs.ready k|sequence jobs 9|", tc.want)
			if all := strings.Join(append(got.ops, ""), "|"); n > 0 && all != want {
				t.Errorf("applied %s", all)
			}
		})
	}
}

// Which state a file is taken to, by what the two headers say.
func TestRestore(t *testing.T) {
	type log struct {
		generation     uint64
		durable, clean bool
	}
	for _, tc := range []struct {
		name   string
		logs   []log
		want   int // records to do again; -1 if the log is damaged
		marked uint64
	}{
		{"no log", nil, 0, 0},
		{"closed well", []log{{1, true, true}}, 0, 0},
		{"logged", []log{{1, true, false}}, 1, 1},
		{"the first log torn as it began", []log{{1, false, false}}, 0, 0},
		{"second generation", []log{{1, true, false}, {2, true, false}}, 1, 2},
		{"second not durable", []log{{1, true, false}, {2, false, false}}, 2, 2},
		{"second torn as it began", []log{{1, true, true}, {2, false, false}}, 0, 0},
		{"third on the file of the first", []log{{3, false, false}, {2, true, false}}, 2, 3},
		{"no base", []log{{1, false, false}, {2, false, false}}, -1, 0},
		{"a gap", []log{{1, true, false}, {4, false, false}}, -1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "test.db")
			db, err := Open(path, Options{})
			if err != nil {
				t.Fatal(err)
			}
			base, reader, err := db.w.disk.hold()
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(reader.Rollback(), db.Close()); err != nil {
				t.Fatal(err)
			}
			r, err := openRedo(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range tc.logs {
				r.generation = l.generation - 1
				err := errors.Join(r.begin(base), r.append(testRecord()))
				if l.durable {
					err = errors.Join(err, r.mark(markDurable, l.generation))
				}
				if l.clean {
					err = errors.Join(err, r.mark(markClean, l.generation))
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			if err := r.close(); err != nil {
				t.Fatal(err)
			}
			payloads, done, err := restore(path)
			if tc.want < 0 {
				if err == nil {
					t.Error("it was not refused")
				}
				return
			}
			if err != nil || len(payloads) != tc.want {
				t.Fatalf("%d records, error %v; want %d", len(payloads), err, tc.want)
			}
			if err := done(); err != nil {
				t.Fatal(err)
			}
			if tc.marked > 0 {
				if h, err := headerAt(redoPath(path, int(tc.marked%2))); err != nil || !h.clean {
					t.Errorf("afterwards %+v, %v", h, err)
				}
			}
			if payloads, _, err := restore(path); err != nil || len(payloads) > 0 {
				t.Errorf("again: %d records, error %v", len(payloads), err)
			}
		})
	}
}

// bbolt's own view of a meta page is ours.
func TestMeta(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for range 3 {
		mustWrite(t, db, "k")
		base, reader, err := db.w.disk.hold()
		if err != nil {
			t.Fatal(err)
		}
		if !base.valid() || base.pageSize() != int64(db.bolt.Info().PageSize) || base.txid() != uint64(reader.ID()) {
			t.Errorf("page size %d, transaction %d, want %d", base.pageSize(), base.txid(), reader.ID())
		}
		if err := reader.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
}

// A file of the layout before this one keeps its records, and its index says
// which jobs are done.
func TestMigration(t *testing.T) {
	path := filepath.Join(t.TempDir(), "test.db")
	db, err := Open(path, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := turn(t.Context(), db.Queue(), "a"); err != nil {
		t.Fatal(err)
	}
	err = db.write(t.Context(), func(c *change) error {
		return errors.Join(
			c.put(bucketByTask, append(keyName(nil, "t"), 'a'), []byte{}),
			c.put(bucketMeta, []byte("schema"), []byte(schemaBefore)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	if db, err = Open(path, Options{}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if n, err := db.Queue().Open(t.Context(), "t"); err != nil || n != 0 {
		t.Errorf("%d jobs are open, error %v", n, err)
	}
	err = db.view(t.Context(), func(tx *bbolt.Tx) error {
		if got := string(tx.Bucket([]byte(bucketMeta)).Get([]byte("schema"))); got != schema {
			t.Errorf("the layout is %q", got)
		}
		return nil
	})
	if err := errors.Join(err, db.CheckIndexes()); err != nil {
		t.Error(err)
	}
}

// Whatever is in a log, reading it ends, and without a panic.
func FuzzRedo(f *testing.F) {
	file := make([]byte, redoRecords)
	f.Add(file)
	r := redo{generation: 1, at: redoRecords}
	path := filepath.Join(f.TempDir(), "redo")
	out, err := os.Create(path)
	if err != nil {
		f.Fatal(err)
	}
	r.files[1], r.sync = out, datasync
	if err := errors.Join(r.append(testRecord()), out.Close()); err != nil {
		f.Fatal(err)
	}
	if file, err = os.ReadFile(path); err != nil {
		f.Fatal(err)
	}
	f.Add(file)
	f.Fuzz(func(t *testing.T, content []byte) {
		readHeader(bytes.NewReader(content))
		_ = records(content, 1, func(payload []byte) error { return apply(payload, new(applied)) })
		var got applied
		if apply(content, &got) == nil && len(got.ops) == 0 && len(content) > 0 {
			t.Error("it was taken for a record, and does nothing")
		}
	})
}
