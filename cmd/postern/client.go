package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"postern/internal/admin"
)

// defaultAddress is where a gateway on this machine has its management API.
const defaultAddress = "http://127.0.0.1:8081"

// maxAnswer bounds what is read of an answer.
const maxAnswer = 64 << 20

// client talks to the management API of a gateway.
type client struct {
	base  *url.URL
	token string
	http  *http.Client
}

// apiError is a refusal by the management API.
type apiError struct{ admin.Problem }

// Error implements error.
func (e *apiError) Error() string { return e.Detail }

// client makes a client from flags, environment and what login stored, in this order.
func (a *app) client() (*client, error) {
	saved, err := a.savedLogin()
	if err != nil {
		return nil, err
	}
	address, token := a.address, a.getenv("POSTERN_TOKEN")
	if address == "" {
		address = a.getenv("POSTERN_ADDRESS")
	}
	if address == "" {
		address = saved.Address
	}
	if address == "" {
		address = defaultAddress
	}
	base, err := parseAddress(address)
	if err != nil {
		return nil, err
	}
	// A stored token belongs to the gateway it was made at and goes to no other.
	if token == "" && saved.Address == base.String() {
		token = saved.Token
	}
	return a.newClient(base, token)
}

func (a *app) newClient(base *url.URL, token string) (*client, error) {
	if base.Scheme == "http" && !loopback(base.Hostname()) && !a.plainHTTP {
		return nil, usagef("%s is another machine, and http:// would show your credentials to the network; use https://, or add --plain-http if the network is yours", base.Host)
	}
	return &client{base: base, token: token, http: &http.Client{
		Timeout: time.Minute,
		// A redirect could lead the token elsewhere, and the API sends none.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// parseAddress reads the address of a gateway; the scheme may be left out for this machine.
func parseAddress(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		s = "http://" + s
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") != "" {
		return nil, usagef("%q is no address of a gateway; write http://127.0.0.1:8081 or https://gateway.example.com", s)
	}
	u.Path = ""
	return u, nil
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || strings.HasSuffix(host, ".localhost") || ip != nil && ip.IsLoopback()
}

// call is one request to the API.
type call struct {
	method, path string
	query        url.Values
	header       map[string]string
	body         []byte
	bodyType     string
	json         any // sent as the body when not nil
}

// do sends a request and decodes the answer into out: a *[]byte gets the body as it is, nil nothing. Refusals are
// returned as *apiError.
func (c *client) do(ctx context.Context, r call, out any) (http.Header, error) {
	u := *c.base
	u.Path = "/api/v1" + r.path
	u.RawQuery = r.query.Encode()
	if r.json != nil {
		b, err := json.Marshal(r.json)
		if err != nil {
			return nil, err
		}
		r.body, r.bodyType = b, "application/json"
	}
	req, err := http.NewRequestWithContext(ctx, r.method, u.String(), bytes.NewReader(r.body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("User-Agent", "postern-cli/"+versionText())
	if r.bodyType != "" {
		req.Header.Set("Content-Type", r.bodyType)
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	for k, v := range r.header {
		req.Header.Set(k, v)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, c.unreachable(err)
	}
	defer func() { _ = resp.Body.Close() }() // it was read to its end, or is given up
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return nil, c.unreachable(err)
	case len(body) > maxAnswer:
		return nil, fmt.Errorf("the answer of %s is larger than %d MiB", c.base, maxAnswer>>20)
	case resp.StatusCode >= 300:
		return resp.Header, c.refusal(resp, body)
	}
	switch out := out.(type) {
	case nil:
	case *[]byte:
		*out = body
	default:
		if err := json.Unmarshal(body, out); err != nil {
			return nil, fmt.Errorf("the answer of %s is not what a Postern sends: %w; check --address", c.base, err)
		}
	}
	return resp.Header, nil
}

// refusal turns an answer that is no success into an error with the exit code that fits: 1 when the API said no, 3 when
// it could not answer.
func (c *client) refusal(resp *http.Response, body []byte) error {
	var p admin.Problem
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "application/problem+json") && json.Unmarshal(body, &p) == nil && p.Code != "" {
		code := exitNo
		if p.Status >= 500 || p.Status == http.StatusTooManyRequests || p.Status == http.StatusUnauthorized {
			code = exitUndecided
		}
		return &codeError{code, &apiError{p}}
	}
	return fmt.Errorf("%s answered %s, and not as a Postern does; check --address", c.base, resp.Status)
}

func (c *client) unreachable(err error) error {
	if errors.Is(err, context.Canceled) {
		return err
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return fmt.Errorf("no answer from the management API at %s: %w\nis `postern serve` running there? --address or POSTERN_ADDRESS names another place", c.base, err)
}

// pages calls fn with every item of a list until it returns false.
func pages[T any](ctx context.Context, c *client, path string, query url.Values, fn func(T) bool) error {
	q := url.Values{}
	for k, v := range query {
		q[k] = v
	}
	for {
		var page struct {
			Items []T    `json:"items"`
			Next  string `json:"next"`
		}
		if _, err := c.do(ctx, call{method: "GET", path: path, query: q}, &page); err != nil {
			return err
		}
		for _, item := range page.Items {
			if !fn(item) {
				return nil
			}
		}
		if page.Next == "" {
			return nil
		}
		q.Set("after", page.Next)
	}
}
