package node

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bytes is a size. In text it is a whole number of bytes or a number with a
// unit: B, kB, MB, GB, TB (powers of 1000) or KiB, MiB, GiB, TiB (of 1024).
type Bytes int64

// byteUnits is in the order in which String tries them.
var byteUnits = [...]struct {
	name string
	size int64
}{
	{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10},
	{"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"B", 1},
}

// String writes the size in the largest unit that is exact.
func (b Bytes) String() string {
	for _, u := range byteUnits {
		if b != 0 && int64(b)%u.size == 0 {
			return strconv.FormatInt(int64(b)/u.size, 10) + u.name
		}
	}
	return "0B"
}

// Short writes the size for people, rounded to three digits or so.
func (b Bytes) Short() string {
	for _, u := range byteUnits[:4] {
		if int64(b) >= u.size {
			return fmt.Sprintf("%.1f %s", float64(b)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d B", int64(b))
}

// ParseBytes reads a size; see Bytes. Negative sizes are refused.
func ParseBytes(text string) (Bytes, error) {
	text = strings.TrimSpace(text)
	number := strings.TrimRight(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
	unit, ok := byteUnit(text[len(number):])
	n, err := strconv.ParseFloat(strings.TrimSpace(number), 64)
	if err != nil || !ok || math.IsNaN(n) || n < 0 || n*float64(unit) >= math.MaxInt64 {
		return 0, fmt.Errorf("is not a size; write bytes, or a number with KiB, MiB, GiB or TiB, like 10GiB")
	}
	return Bytes(math.Round(n * float64(unit))), nil
}

func byteUnit(name string) (int64, bool) {
	if name == "" {
		return 1, true
	}
	for _, u := range byteUnits {
		if strings.EqualFold(u.name, name) {
			return u.size, true
		}
	}
	return 0, false
}

// parseDuration is time.ParseDuration with errors that say how to mend it.
func parseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil && text != "0" {
		return 0, fmt.Errorf("has no unit; write %ss for seconds, %sm for minutes or %sh for hours", text, text, text)
	}
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, fmt.Errorf("is not a duration; write a number with ms, s, m or h, like 30s or 1h30m")
	}
	return d, nil
}

// durationText drops the zero parts that time.Duration prints: 1h, not 1h0m0s.
func durationText(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// closest returns the candidate that a typing error most likely meant, or "".
func closest(word string, candidates []string) string {
	best, limit := "", max(2, len(word)/3)+1
	for _, c := range slices.Sorted(slices.Values(candidates)) {
		if d := distance(word, c); d < limit {
			best, limit = c, d
		}
	}
	return best
}

// distance is the Levenshtein distance: edits of one byte from a to b.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, diagonal+1, row[j]+1)
		}
	}
	return row[len(b)]
}
