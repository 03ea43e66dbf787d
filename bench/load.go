package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"
)

// load is one closed loop: each connection sends its request, reads the whole answer, and sends the next.
type load struct {
	address  string
	requests [][]byte      // one for each connection, in turn
	pace     time.Duration // time between the starts of two requests of a connection; 0: at once
}

type measured struct {
	requests  int
	latencies []time.Duration
	first     []time.Duration // to the first byte of the answer
}

func (l load) run(ctx context.Context, connections int, length time.Duration) (measured, error) {
	ctx, cancel := context.WithTimeout(ctx, length)
	defer cancel()
	var wg sync.WaitGroup
	results, errs := make([]measured, connections), make([]error, connections)
	for i := range connections {
		wg.Add(1)
		go func() {
			defer wg.Done()
			results[i], errs[i] = l.connection(ctx, l.requests[i%len(l.requests)], time.Duration(i)*l.pace/time.Duration(connections))
		}()
	}
	wg.Wait()
	var sum measured
	for _, r := range results {
		sum.requests += r.requests
		sum.latencies = append(sum.latencies, r.latencies...)
		sum.first = append(sum.first, r.first...)
	}
	slices.Sort(sum.latencies)
	slices.Sort(sum.first)
	return sum, errors.Join(errs...)
}

func (l load) connection(ctx context.Context, request []byte, offset time.Duration) (m measured, err error) {
	c, err := net.Dial("tcp", l.address)
	if err != nil {
		return m, err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(time.Minute)); err != nil {
		return m, err
	}
	r := bufio.NewReaderSize(c, 64<<10)
	next := time.Now().Add(offset)
	for ctx.Err() == nil {
		if l.pace > 0 {
			time.Sleep(time.Until(next))
			next = next.Add(l.pace)
		}
		start := time.Now()
		if _, err := c.Write(request); err != nil {
			return m, err
		}
		if _, err := r.Peek(1); err != nil {
			return m, fmt.Errorf("no answer: %w", err)
		}
		first := time.Since(start)
		if err := readAnswer(r); err != nil {
			return m, err
		}
		m.requests++
		m.latencies = append(m.latencies, time.Since(start))
		m.first = append(m.first, first)
	}
	return m, nil
}

var (
	contentLength = []byte("content-length:")
	transfer      = []byte("transfer-encoding:")
)

// readAnswer reads one whole answer and insists on 200.
func readAnswer(r *bufio.Reader) error {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return err
	}
	if len(line) < 12 || string(line[9:12]) != "200" {
		rest, _ := r.Peek(min(r.Buffered(), 600))
		return fmt.Errorf("answer %q … %q", line, rest)
	}
	length, chunked := -1, false
	for {
		if line, err = r.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		switch {
		case len(line) > len(contentLength) && bytes.EqualFold(line[:len(contentLength)], contentLength):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[len(contentLength):]))); err != nil {
				return err
			}
		case len(line) > len(transfer) && bytes.EqualFold(line[:len(transfer)], transfer):
			chunked = true
		}
	}
	if chunked {
		return discardChunks(r)
	}
	if length < 0 {
		return errors.New("an answer without a length")
	}
	_, err = r.Discard(length)
	return err
}

func percentile(sorted []time.Duration, p float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(int(float64(len(sorted))*p), len(sorted)-1)]
}

func median[T float64 | time.Duration](v []T) T {
	if len(v) == 0 {
		return 0
	}
	v = slices.Clone(v)
	slices.Sort(v)
	return v[len(v)/2]
}
