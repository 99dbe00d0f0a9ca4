package console

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode"

	"google.golang.org/protobuf/types/known/timestamppb"
)

// text is something in human units, and exactly.
type text struct{ Short, Exact string }

// stamp is a moment: how long ago, when, and for scripts.
type stamp struct{ Short, Exact, Machine string }

func ago(t time.Time) stamp {
	if t.IsZero() || t.Unix() == 0 {
		return stamp{Short: "–"}
	}
	return stamp{Short: since(time.Since(t)), Exact: t.UTC().Format("2006-01-02 15:04:05 UTC"), Machine: t.UTC().Format(time.RFC3339)}
}

func agoOf(t *timestamppb.Timestamp) stamp {
	if t == nil {
		return stamp{Short: "–"}
	}
	return ago(t.AsTime())
}

func since(d time.Duration) string {
	switch {
	case d < -time.Second:
		return "in " + span(-d)
	case d < 5*time.Second:
		return "now"
	}
	return span(d) + " ago"
}

// span is a length of time in its largest unit.
func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func uptime(started time.Time) text {
	return text{span(time.Since(started)), "since " + started.UTC().Format("2006-01-02 15:04:05 UTC")}
}

// size writes bytes with decimal units.
func size(bytes float64) text {
	exact := strconv.FormatFloat(bytes, 'f', 0, 64) + " bytes"
	if bytes <= 0 {
		return text{"–", exact}
	}
	units := []string{"B", "kB", "MB", "GB", "TB", "PB"}
	i := 0
	for bytes >= 999.5 && i < len(units)-1 {
		bytes, i = bytes/1000, i+1
	}
	digits := 0
	if i > 0 && bytes < 9.95 {
		digits = 1
	}
	return text{strconv.FormatFloat(bytes, 'f', digits, 64) + " " + units[i], exact}
}

func bitrate(bits float64) string {
	if bits >= 1e6 {
		return strconv.FormatFloat(bits/1e6, 'f', 1, 64) + " Mbit/s"
	}
	return strconv.FormatFloat(bits/1e3, 'f', 0, 64) + " kbit/s"
}

// clock writes seconds as 1:02:03 or 2:03.
func clock(seconds float64) string {
	s := int(seconds + .5)
	if s >= 3600 {
		return fmt.Sprintf("%d:%02d:%02d", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%d:%02d", s/60, s%60)
}

func percent(p float64) string { return strconv.Itoa(int(p)) }

func speed(s float64) string {
	if s <= 0 {
		return "–"
	}
	return strconv.FormatFloat(s, 'f', 1, 64) + "×"
}

func eta(seconds *float64) string {
	if seconds == nil {
		return "–"
	}
	return clock(*seconds)
}

// shortID is the end of an id, which differs where the beginning is the time.
func shortID(id string) string {
	if len(id) <= 8 {
		return id
	}
	return "…" + id[len(id)-8:]
}

// wallet writes an address short.
func wallet(address string) string {
	if len(address) != 42 {
		return address
	}
	return address[:6] + "…" + address[38:]
}

// printable shows text of strangers as it is, without what would turn or hide
// what stands around it: control characters and those that set a direction.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n', r == '\t':
			return r
		case unicode.IsControl(r), r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069, r == 0x200e, r == 0x200f, r == 0x061c:
			return '�'
		}
		return r
	}, strings.ToValidUTF8(s, "�"))
}

// many is a number with its noun.
func many(n int, one, more string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + more
}
