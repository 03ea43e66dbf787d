package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// origin answers the paths that the scenarios use, at as little cost as Go allows, so that it does not hide the gateways.
type origin struct{ address string }

const chunks = 200 // events of a stream

var (
	plainAnswer  = []byte("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 256\r\n\r\n" + strings.Repeat("x", 256))
	chatAnswer   = chatObject()
	streamAnswer = chatStream()
)

func chatObject() []byte {
	body := fmt.Sprintf(`{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"echo-1","choices":[{"index":0,"message":{"role":"assistant","content":%q},"finish_reason":"stop"}],"usage":{"prompt_tokens":120,"completion_tokens":180,"total_tokens":300}}`, strings.Repeat("some words of an answer ", 30))
	return []byte(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body))
}

func streamEvent(i int) []byte {
	e := fmt.Sprintf("data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"echo-1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\" word%d\"},\"finish_reason\":null}]}\n\n", i)
	return []byte(fmt.Sprintf("%x\r\n%s\r\n", len(e), e))
}

func chatStream() []byte {
	var b bytes.Buffer
	b.WriteString("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
	for i := range chunks {
		b.Write(streamEvent(i))
	}
	for _, e := range []string{
		`data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1,"model":"echo-1","choices":[],"usage":{"prompt_tokens":120,"completion_tokens":200,"total_tokens":320}}` + "\n\n",
		"data: [DONE]\n\n",
	} {
		fmt.Fprintf(&b, "%x\r\n%s\r\n", len(e), e)
	}
	b.WriteString("0\r\n\r\n")
	return b.Bytes()
}

func startOrigin() (*origin, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveOrigin(c)
		}
	}()
	return &origin{l.Addr().String()}, nil
}

// serveOrigin trusts its peers: they are the gateways of this run.
func serveOrigin(c net.Conn) {
	defer c.Close()
	r := bufio.NewReaderSize(c, 64<<10)
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return
		}
		path := requestPath(line)
		length, chunked := 0, false
		for {
			line, err = r.ReadSlice('\n')
			if err != nil {
				return
			}
			if len(line) <= 2 {
				break
			}
			if len(line) > 15 && (line[0]|0x20) == 'c' && strings.EqualFold(string(line[:15]), "content-length:") {
				length, _ = strconv.Atoi(strings.TrimSpace(string(line[15:])))
			}
			if len(line) > 18 && (line[0]|0x20) == 't' && strings.EqualFold(string(line[:18]), "transfer-encoding:") {
				chunked = true
			}
		}
		if chunked {
			if discardChunks(r) != nil {
				return
			}
		} else if _, err := r.Discard(length); err != nil {
			return
		}
		switch path {
		case "chat":
			_, err = c.Write(chatAnswer)
		case "stream":
			_, err = c.Write(streamAnswer)
		case "paced":
			err = pacedStream(c)
		default:
			_, err = c.Write(plainAnswer)
		}
		if err != nil {
			return
		}
	}
}

// pacedStream sends 20 events, 5 ms apart, as a model would.
func pacedStream(c io.Writer) error {
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"); err != nil {
		return err
	}
	for i := range pacedChunks {
		time.Sleep(5 * time.Millisecond)
		if _, err := c.Write(streamEvent(i)); err != nil {
			return err
		}
	}
	_, err := io.WriteString(c, "0\r\n\r\n")
	return err
}

const pacedChunks = 20

// requestPath tells the scenarios apart by the last segment of the path.
func requestPath(line []byte) string {
	p, _, _ := bytes.Cut(line[bytes.IndexByte(line, ' ')+1:], []byte(" "))
	switch {
	case bytes.HasSuffix(p, []byte("/paced")), bytes.Contains(p, []byte("/paced/")):
		return "paced"
	case bytes.HasSuffix(p, []byte("/stream")), bytes.Contains(p, []byte("/stream/")):
		return "stream"
	case bytes.HasSuffix(p, []byte("/chat")), bytes.Contains(p, []byte("/chat/")):
		return "chat"
	}
	return "plain"
}

func discardChunks(r *bufio.Reader) error {
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(strings.TrimSpace(string(line)), 16, 32)
		if err != nil {
			return err
		}
		if _, err := r.Discard(int(n) + 2); err != nil {
			return err
		}
		if n == 0 {
			return nil
		}
	}
}
