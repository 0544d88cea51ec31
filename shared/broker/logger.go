package broker

import (
	"context"
	"fmt"
	"log/slog"
)

// logger hands the server's own lines to slog; its notices are many and of no interest unless debugging.
type logger struct {
	log   *slog.Logger
	fatal chan string // the first reason why the server cannot go on; it does not end by itself
}

func (l *logger) line(level slog.Level, format string, args []any) {
	if l.log.Enabled(context.Background(), level) {
		l.log.LogAttrs(context.Background(), level, "nats-server", slog.String("line", fmt.Sprintf(format, args...)))
	}
}

func (l *logger) Noticef(format string, args ...any) { l.line(slog.LevelDebug, format, args) }
func (l *logger) Warnf(format string, args ...any)   { l.line(slog.LevelWarn, format, args) }
func (l *logger) Errorf(format string, args ...any)  { l.line(slog.LevelError, format, args) }
func (l *logger) Debugf(string, ...any)              {}
func (l *logger) Tracef(string, ...any)              {}

func (l *logger) Fatalf(format string, args ...any) {
	l.line(slog.LevelError, format, args)
	select {
	case l.fatal <- fmt.Sprintf(format, args...):
	default:
	}
}
