package framing

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// pause lies between two segments, so that the gateway reads them apart.
const pause = 40 * time.Millisecond

// patience bounds a whole case. The gateway's own limits (in corpus_test.go) are far below.
var patience = 10 * time.Second

// Delivery is how the bytes of a case are cut up.
type Delivery int

const (
	Whole  Delivery = iota // each segment in one write
	Bytely                 // each byte in one write
)

func (d Delivery) String() string { return [...]string{"whole", "byte by byte"}[d] }

// Answer is one final answer of the gateway.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Talk is what came of a case at the client's side.
type Talk struct {
	Answers []Answer
	Closed  bool   // the gateway closed the connection
	Extra   string // bytes behind the last answer
	Fault   error  // an answer that is not well-formed
}

// Converse sends the bytes of a case and reads as many answers as it expects. With probe, and when the connection is
// still open, one more request goes over it: its own answer proves that both sides agree where the case ended.
func Converse(address string, c Case, d Delivery, probe string) (Talk, error) {
	nc, err := net.DialTimeout("tcp", address, patience)
	if err != nil {
		return Talk{}, err
	}
	defer nc.Close()
	_ = nc.SetDeadline(time.Now().Add(patience))
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		send(nc, c, d) // an error means that the gateway has closed; what it answered says why
	}()
	var talk Talk
	in := bufio.NewReader(nc)
	for _, want := range c.Answers {
		if want == "none" {
			break
		}
		a, err := readAnswer(in, strings.HasSuffix(want, "!"))
		if err != nil {
			if errors.Is(err, io.EOF) || isReset(err) {
				talk.Closed = true
			} else {
				talk.Fault = fmt.Errorf("answer %d: %w", len(talk.Answers)+1, err)
			}
			break
		}
		talk.Answers = append(talk.Answers, a)
	}
	if c.End == "keep" && len(talk.Answers) == len(c.Answers) && talk.Fault == nil {
		<-sent
		if _, err := io.WriteString(nc, probe); err == nil {
			a, err := readAnswer(in, false)
			if err == nil {
				talk.Answers = append(talk.Answers, a)
				return talk, nil
			}
			talk.Closed = true
			return talk, nil
		}
		talk.Closed = true
		return talk, nil
	}
	if !talk.Closed {
		wait := patience / 2
		if c.End == "either" { // long enough to see an answer that nobody asked for
			wait = 15 * time.Millisecond
		}
		_ = nc.SetReadDeadline(time.Now().Add(wait))
		rest, err := io.ReadAll(io.LimitReader(in, 64<<10))
		talk.Extra = string(rest)
		talk.Closed = err == nil || isReset(err)
	}
	_ = nc.SetDeadline(time.Now()) // a sender that waits is of no more use
	<-sent
	return talk, nil
}

func send(nc net.Conn, c Case, d Delivery) {
	for i, s := range c.Segments {
		if i > 0 {
			time.Sleep(pause)
		}
		if d == Whole {
			if _, err := io.WriteString(nc, s); err != nil {
				return
			}
			continue
		}
		for j := range len(s) {
			if _, err := nc.Write([]byte{s[j]}); err != nil {
				return
			}
		}
	}
	if c.Fin {
		if tcp, ok := nc.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
	}
}

// isReset reports an end that is not orderly. For what the client learns it is an end all the same.
func isReset(err error) bool {
	return err != nil && (strings.Contains(err.Error(), "connection reset") || strings.Contains(err.Error(), "broken pipe"))
}

// readAnswer reads one final answer, strictly; interim ones are passed over.
func readAnswer(in *bufio.Reader, bodyless bool) (Answer, error) {
	for {
		a, err := readOne(in, bodyless)
		if err != nil || a.Status >= 200 || a.Status == 101 {
			return a, err
		}
	}
}

func readOne(in *bufio.Reader, bodyless bool) (Answer, error) {
	line := func() (string, error) {
		l, err := in.ReadString('\n')
		if err != nil {
			if err == io.EOF && l != "" {
				err = io.ErrUnexpectedEOF
			}
			return "", err
		}
		if !strings.HasSuffix(l, "\r\n") || strings.ContainsAny(l[:len(l)-2], "\r\x00") {
			return "", fmt.Errorf("line %q", l)
		}
		return l[:len(l)-2], nil
	}
	status, err := line()
	if err != nil {
		return Answer{}, err
	}
	version, rest, _ := strings.Cut(status, " ")
	code, err := strconv.Atoi(rest[:min(3, len(rest))])
	if version != "HTTP/1.1" || err != nil {
		return Answer{}, fmt.Errorf("status line %q", status)
	}
	a := Answer{Status: code, Header: http.Header{}}
	for {
		l, err := line()
		if err != nil {
			return a, unexpected(err)
		}
		if l == "" {
			break
		}
		name, value, ok := strings.Cut(l, ":")
		if !ok || strings.ContainsAny(name, " \t") {
			return a, fmt.Errorf("field line %q", l)
		}
		a.Header.Add(name, strings.Trim(value, " \t"))
	}
	if code < 200 || code == 204 || code == 304 || bodyless {
		return a, nil
	}
	body, err := readBody(in, a.Header, line)
	a.Body = body
	return a, unexpected(err)
}

func readBody(in *bufio.Reader, h http.Header, line func() (string, error)) (string, error) {
	lengths, codings := h.Values("Content-Length"), h.Values("Transfer-Encoding")
	switch {
	case len(lengths) == 1 && len(codings) == 0:
		n, err := strconv.ParseUint(lengths[0], 10, 31)
		if err != nil {
			return "", err
		}
		b := make([]byte, n)
		k, err := io.ReadFull(in, b)
		return string(b[:k]), err
	case len(lengths) == 0 && len(codings) == 1 && codings[0] == "chunked":
	case len(lengths) == 0 && len(codings) == 0:
		b, err := io.ReadAll(in)
		return string(b), err
	default:
		return "", fmt.Errorf("Content-Length %q beside Transfer-Encoding %q", lengths, codings)
	}
	var body strings.Builder
	for {
		l, err := line()
		if err != nil {
			return body.String(), err
		}
		n, err := strconv.ParseUint(l, 16, 31)
		if err != nil {
			return body.String(), err
		}
		if n == 0 {
			break
		}
		if _, err := io.CopyN(&body, in, int64(n)); err != nil {
			return body.String(), err
		}
		if l, err := line(); err != nil || l != "" {
			return body.String(), fmt.Errorf("%q behind a chunk (%w)", l, unexpected(err))
		}
	}
	for {
		if l, err := line(); err != nil || l == "" {
			return body.String(), err
		}
	}
}

// unexpected turns an end in the middle of an answer into an error that is not a clean end.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
