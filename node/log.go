package node

import (
	"io"
	"log/slog"
	"time"
)

// NewLog makes the node's logger: text for people on a terminal, JSON for
// programs otherwise, unless log.format says which. A node that is given it can
// change its level.
func NewLog(cfg Log, w io.Writer, terminal bool) *slog.Logger {
	level := new(slog.LevelVar)
	level.Set(cfg.level())
	return slog.New(leveled{logHandler(cfg, level, w, terminal), level})
}

// leveled is a handler whose level can be changed.
type leveled struct {
	slog.Handler
	level *slog.LevelVar
}

// level is the level by its word.
func (l *Log) level() slog.Level {
	var level slog.Level
	if err := level.UnmarshalText([]byte(l.Level)); err != nil {
		return slog.LevelInfo // Validate has refused other words
	}
	return level
}

func logHandler(cfg Log, level slog.Leveler, w io.Writer, terminal bool) slog.Handler {
	opt := &slog.HandlerOptions{Level: level, ReplaceAttr: readable}
	if cfg.Format == "json" || cfg.Format == "auto" && !terminal {
		return slog.NewJSONHandler(w, opt)
	}
	if terminal {
		opt.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr { return shortTime(groups, readable(groups, a)) }
	}
	return slog.NewTextHandler(w, opt)
}

// readable writes durations with their unit; JSON would have nanoseconds.
func readable(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	return a
}

// shortTime leaves the date to the reader's calendar.
func shortTime(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && a.Key == slog.TimeKey {
		a.Value = slog.StringValue(a.Value.Time().Format(time.TimeOnly))
	}
	return a
}
