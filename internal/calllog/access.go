package calllog

import (
	"context"
	"io"
	"log/slog"
	"sync"

	"postern/internal/record"
)

// accessQueue is how many batches of lines wait for a slow writer.
const accessQueue = 8

// accessLog writes records as lines of JSON. A pipe whose reader sleeps holds up its own goroutine and nothing else.
type accessLog struct {
	w     io.Writer
	lines chan accessLines
	once  sync.Once
	ended chan struct{}
	stats *counters
}

type accessLines struct {
	text []byte
	n    int64
}

func newAccessLog(w io.Writer, stats *counters, logger *slog.Logger) *accessLog {
	a := &accessLog{w: w, lines: make(chan accessLines, accessQueue), ended: make(chan struct{}), stats: stats}
	go func() {
		defer close(a.ended)
		failing := false
		for b := range a.lines {
			_, err := w.Write(b.text)
			if err != nil {
				stats.accessDropped.Add(b.n)
				if !failing {
					logger.Error("the access log cannot be written", "error", err)
				}
			}
			failing = err != nil
		}
	}()
	return a
}

// add hands over a batch, or counts it as dropped.
func (a *accessLog) add(records []record.Record) {
	if len(a.lines) == cap(a.lines) { // one sender: room that is there now stays
		a.stats.accessDropped.Add(int64(len(records)))
		return
	}
	text := make([]byte, 0, 512*len(records))
	for i := range records {
		text = append(records[i].AppendJSON(text), '\n')
	}
	a.lines <- accessLines{text, int64(len(records))}
}

// close waits until every line is written, or ctx ends; lines that still wait then are dropped.
func (a *accessLog) close(ctx context.Context) {
	a.once.Do(func() { close(a.lines) })
	select {
	case <-a.ended:
	case <-ctx.Done():
		for b := range a.lines {
			a.stats.accessDropped.Add(b.n)
		}
	}
}
