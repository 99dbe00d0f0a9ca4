package migrate

import (
	"crypto/sha256"
	"fmt"
	"iter"

	"streamgate/store"
)

// sum counts entries and adds up their checksums, by table. The order does not
// matter: backends sort some names differently.
type sum struct{ tables map[string]tableSum }

type tableSum struct {
	n   int
	all [sha256.Size]byte
}

func (s *sum) add(e store.Entry) {
	if s.tables == nil {
		s.tables = map[string]tableSum{}
	}
	t := s.tables[e.Table]
	one := sha256.New()
	fmt.Fprintf(one, "%d %s ", len(e.ID), e.ID)
	one.Write(e.Data)
	for i, b := range one.Sum(nil) {
		t.all[i] ^= b
	}
	t.n++
	s.tables[e.Table] = t
}

// same says which table differs.
func (s *sum) same(other sum) error {
	for _, table := range store.Tables() {
		a, b := s.tables[table], other.tables[table]
		if a != b {
			return fmt.Errorf("table %s does not have what was written to it: %d entries, SHA-256 %x, instead of %d, %x", table, b.n, b.all[:6], a.n, a.all[:6])
		}
	}
	return nil
}

func (s *sum) total() (n int) {
	for _, t := range s.tables {
		n += t.n
	}
	return n
}

// counted passes entries on and adds them up.
func (m *Migration) counted(entries iter.Seq2[store.Entry, error], s *sum) iter.Seq2[store.Entry, error] {
	return func(yield func(store.Entry, error) bool) {
		for e, err := range entries {
			if err == nil {
				s.add(e)
				if m.at.Entries = s.total(); m.at.Entries%reportEvery == 0 {
					m.report(StepPause)
				}
			}
			if !yield(e, err) {
				return
			}
		}
	}
}

const reportEvery = 1000

// Inventory is what there is to move.
type Inventory struct {
	Objects int            `json:"objects"`
	Bytes   int64          `json:"bytes"`
	Copied  int            `json:"copied"` // of the objects, by earlier runs
	Tables  map[string]int `json:"tables"` // entries by table
}
