package reqtext

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"postern/internal/header"
)

// The parts of HAR 1.2 (http://www.softwareishard.com/blog/har-12-spec/) that make a request.
type (
	harFile struct {
		Log *struct {
			Entries []harEntry `json:"entries"`
		} `json:"log"`
		harEntry              // a single entry, copied out of a file
		harRequest            // or only its request
		Entries    []harEntry `json:"entries"`
	}
	harEntry struct {
		Request  *harRequest `json:"request"`
		Response *harAnswer  `json:"response"`
	}
	harRequest struct {
		Method   string    `json:"method"`
		URL      string    `json:"url"`
		Headers  []harPair `json:"headers"`
		Cookies  []harPair `json:"cookies"`
		PostData *harBody  `json:"postData"`
		BodySize int64     `json:"bodySize"`
	}
	harPair struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	harBody struct {
		MimeType string    `json:"mimeType"`
		Text     string    `json:"text"`
		Encoding string    `json:"encoding"` // base64, in files of some tools
		Params   []harPair `json:"params"`
	}
)

// parseHAR reads a HAR file, one entry of it, or the request of an entry.
func parseHAR(text []byte) ([]Request, error) {
	var f harFile
	if err := json.Unmarshal(text, &f); err != nil {
		return nil, fmt.Errorf("this begins like JSON, but is no HAR file: %w", err)
	}
	entries := f.Entries
	switch {
	case f.Log != nil:
		entries = f.Log.Entries
	case f.Request != nil:
		entries = []harEntry{f.harEntry}
	case f.URL != "":
		entries = []harEntry{{Request: &f.harRequest}}
	}
	if len(entries) == 0 {
		return nil, fmt.Errorf("the JSON has no HAR entries (log.entries): %w", ErrForm)
	}
	if len(entries) > maxRequests {
		return nil, fmt.Errorf("the HAR file has %d entries, more than %d; pick some out", len(entries), maxRequests)
	}
	var out []Request
	for i, e := range entries {
		if e.Request == nil {
			return nil, fmt.Errorf("entry %d has no request", i+1)
		}
		r, err := e.Request.request()
		if e.Response != nil {
			if a, ok := e.Response.answer(); ok {
				r.Answer = &a
			}
		}
		if len(entries) > 1 {
			r.Name = fmt.Sprintf("entry %d", i+1)
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		out = append(out, r)
	}
	return out, nil
}

func (h *harRequest) request() (Request, error) {
	r := Request{Method: h.Method, URL: h.URL}
	for _, f := range h.Headers {
		if strings.HasPrefix(f.Name, ":") { // pseudo-header fields of HTTP/2 and HTTP/3
			continue
		}
		r.Header = append(r.Header, header.Field{Name: f.Name, Value: strings.Trim(f.Value, " \t\r\n")})
	}
	if len(h.Cookies) > 0 && !r.Header.Has("Cookie") {
		var pairs []string
		for _, c := range h.Cookies {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
		r.Header = append(r.Header, header.Field{Name: "Cookie", Value: strings.Join(pairs, "; ")})
	}
	switch p := h.PostData; {
	case p != nil && p.Text != "":
		r.Body = []byte(p.Text)
		if p.Encoding == "base64" {
			b, err := base64.StdEncoding.DecodeString(p.Text)
			if err != nil {
				return r, fmt.Errorf("postData is not the base64 it says it is: %w", err)
			}
			r.Body = b
		}
	case p != nil && len(p.Params) > 0 && strings.HasPrefix(p.MimeType, "application/x-www-form-urlencoded"):
		var pairs []string
		for _, q := range p.Params {
			pairs = append(pairs, url.QueryEscape(q.Name)+"="+url.QueryEscape(q.Value))
		}
		r.Body = []byte(strings.Join(pairs, "&"))
	case h.BodySize > 0 || p != nil && len(p.Params) > 0:
		r.BodyUnknown = true
		r.Notes = append(r.Notes, "the HAR file does not hold the body; what depends on it is unknown")
	}
	if p := h.PostData; p != nil && p.MimeType != "" && !r.Header.Has("Content-Type") {
		r.Header = append(r.Header, header.Field{Name: "Content-Type", Value: p.MimeType})
	}
	return r, nil
}
