package reqtext

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"postern/internal/header"
)

// The parts of a Postman collection (schema v2.1, https://schema.getpostman.com) that make requests. A single item is read
// as well.
type (
	postmanItem struct {
		Name     string          `json:"name"`
		Item     []postmanItem   `json:"item"`
		Request  *postmanRequest `json:"request"`
		Response []harAnswer     `json:"response"` // examples: what was answered once
		Variable []postmanPair   `json:"variable"`
		Auth     map[string]any  `json:"auth"`
	}
	postmanRequest struct {
		Method string         `json:"method"`
		URL    postmanURL     `json:"url"`
		Header any            `json:"header"`
		Body   *postmanBody   `json:"body"`
		Auth   map[string]any `json:"auth"`
	}
	postmanPair struct {
		Key      string `json:"key"`
		Value    any    `json:"value"`
		Type     string `json:"type"`
		Disabled bool   `json:"disabled"`
	}
	postmanBody struct {
		Mode       string        `json:"mode"`
		Raw        string        `json:"raw"`
		URLEncoded []postmanPair `json:"urlencoded"`
		FormData   []postmanPair `json:"formdata"`
		GraphQL    *struct {
			Query     string `json:"query"`
			Variables string `json:"variables"`
		} `json:"graphql"`
		Options struct {
			Raw struct {
				Language string `json:"language"`
			} `json:"raw"`
		} `json:"options"`
	}
	postmanURL string
)

// UnmarshalJSON reads an address written as a string, or taken apart.
func (u *postmanURL) UnmarshalJSON(b []byte) error {
	var s string
	if json.Unmarshal(b, &s) == nil {
		*u = postmanURL(s)
		return nil
	}
	var o struct {
		Raw string `json:"raw"`
	}
	err := json.Unmarshal(b, &o)
	*u = postmanURL(o.Raw)
	return err
}

// Insomnia's export, format 4 (https://docs.insomnia.rest).
type insomniaResource struct {
	Type    string         `json:"_type"`
	Name    string         `json:"name"`
	Method  string         `json:"method"`
	URL     string         `json:"url"`
	Headers any            `json:"headers"`
	Data    map[string]any `json:"data"` // of an environment
	Body    struct {
		MimeType string `json:"mimeType"`
		Text     string `json:"text"`
		Params   []struct {
			Name, Value string
			Disabled    bool
		} `json:"params"`
	} `json:"body"`
	Authentication map[string]any `json:"authentication"`
}

// collection tells what kind of collection some JSON is, and reads it; nil requests without an error: none.
func parseCollection(text []byte) ([]Request, error) {
	var c struct {
		Info      json.RawMessage    `json:"info"`
		Resources []insomniaResource `json:"resources"`
		Type      string             `json:"_type"`
		postmanItem
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return nil, nil //nolint:nilerr // whoever reads it as HAR says what is wrong
	}
	switch {
	case len(c.Resources) > 0:
		return insomnia(c.Resources)
	case c.Type == "request":
		var r insomniaResource
		if err := json.Unmarshal(text, &r); err != nil {
			return nil, fmt.Errorf("the Insomnia request cannot be read: %w", err)
		}
		return insomnia([]insomniaResource{r})
	case len(c.Item) > 0 || c.Request != nil && len(c.Info) == 0 && c.Name != "":
		p := postman{vars: map[string]string{}}
		if err := p.read(c.postmanItem, c.Auth, 0); err != nil {
			return nil, err
		}
		if len(p.out) == 0 {
			return nil, fmt.Errorf("the collection has no request: %w", ErrForm)
		}
		return p.out, nil
	}
	return nil, nil
}

type postman struct {
	vars map[string]string
	out  []Request
}

func (p *postman) read(item postmanItem, auth map[string]any, depth int) error {
	if depth > 100 {
		return fmt.Errorf("the collection nests more than 100 folders")
	}
	for _, v := range item.Variable {
		p.vars[v.Key] = fmt.Sprint(v.Value)
	}
	if item.Auth != nil {
		auth = item.Auth
	}
	if item.Request != nil {
		if len(p.out) >= maxRequests {
			return fmt.Errorf("the collection has more than %d requests", maxRequests)
		}
		r, err := p.request(item, auth)
		if err != nil {
			return fmt.Errorf("the item %q: %w", clip(item.Name), err)
		}
		p.out = append(p.out, r)
	}
	for _, i := range item.Item {
		if err := p.read(i, auth, depth+1); err != nil {
			return err
		}
	}
	return nil
}

func (p *postman) request(item postmanItem, auth map[string]any) (r Request, err error) {
	q := item.Request
	fill := func(s string) string {
		if err != nil {
			return ""
		}
		s, err = fillFrom(s, p.vars)
		return s
	}
	r = Request{Name: item.Name, Method: strings.ToUpper(q.Method), URL: fill(string(q.URL))}
	if r.Method == "" {
		r.Method = "GET"
	}
	for _, f := range pairs(q.Header) {
		r.Header.Add(fill(f.Name), fill(f.Value))
	}
	if q.Auth != nil {
		auth = q.Auth
	}
	kind, _ := auth["type"].(string)
	get := func(key string) string { return fill(authValue(auth[kind], key)) }
	addAuth(&r, kind, get)
	if b := q.Body; b != nil {
		switch b.Mode {
		case "raw":
			r.Body = []byte(fill(b.Raw))
			if b.Options.Raw.Language == "json" && !r.Header.Has("Content-Type") {
				r.Header.Add("Content-Type", "application/json")
			}
		case "urlencoded":
			var parts []string
			for _, v := range b.URLEncoded {
				if !v.Disabled {
					parts = append(parts, url.QueryEscape(fill(v.Key))+"="+url.QueryEscape(fill(fmt.Sprint(v.Value))))
				}
			}
			formBody(&r, strings.Join(parts, "&"))
		case "graphql":
			if b.GraphQL != nil {
				r.Body, _ = json.Marshal(map[string]string{"query": fill(b.GraphQL.Query), "variables": fill(b.GraphQL.Variables)})
				if !r.Header.Has("Content-Type") {
					r.Header.Add("Content-Type", "application/json")
				}
			}
		case "formdata", "file":
			r.BodyUnknown = true
			r.Notes = append(r.Notes, "the body is a form with files, which was not read; what depends on it is unknown")
		}
	}
	if !strings.Contains(r.URL, "://") {
		r.URL = "http://" + r.URL
	}
	if len(item.Response) > 0 {
		if a, ok := item.Response[len(item.Response)-1].answer(); ok {
			r.Answer = &a
		}
	}
	return r, err
}

// authValue reads a value of Postman's auth: a list of pairs, or an object in older collections.
func authValue(v any, key string) string {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if m, ok := e.(map[string]any); ok && m["key"] == key {
				s, _ := m["value"].(string)
				return s
			}
		}
	case map[string]any:
		s, _ := v[key].(string)
		return s
	}
	return ""
}

func addAuth(r *Request, kind string, get func(string) string) {
	if r.Header.Has("Authorization") {
		return
	}
	switch kind {
	case "bearer":
		r.Header.Add("Authorization", strings.TrimSpace("Bearer "+get("token")))
	case "basic":
		r.Header.Add("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(get("username")+":"+get("password"))))
	case "apikey":
		if get("in") == "query" {
			r.URL = addQuery(r.URL, get("key"), get("value"))
		} else if name := get("key"); name != "" {
			r.Header.Add(name, get("value"))
		}
	case "", "noauth", "none":
	default:
		r.Notes = append(r.Notes, fmt.Sprintf("the item signs in by %q, which its tool does when it sends; that is not here", clip(kind)))
	}
}

func addQuery(u, name, value string) string {
	base, fragment, _ := strings.Cut(u, "#")
	sep := "?"
	if strings.Contains(base, "?") {
		sep = "&"
	}
	u = base + sep + url.QueryEscape(name) + "=" + url.QueryEscape(value)
	if fragment != "" {
		u += "#" + fragment
	}
	return u
}

func formBody(r *Request, body string) {
	r.Body = []byte(body)
	if !r.Header.Has("Content-Type") {
		r.Header.Add("Content-Type", "application/x-www-form-urlencoded")
	}
}

func insomnia(resources []insomniaResource) ([]Request, error) {
	vars := map[string]string{}
	for _, e := range resources {
		if e.Type == "environment" {
			for k, v := range e.Data {
				vars["_."+k], vars[k] = fmt.Sprint(v), fmt.Sprint(v)
			}
		}
	}
	var out []Request
	for _, e := range resources {
		if e.Type != "request" {
			continue
		}
		if len(out) >= maxRequests {
			return nil, fmt.Errorf("the export has more than %d requests", maxRequests)
		}
		var err error
		fill := func(s string) string {
			if err != nil {
				return ""
			}
			s, err = fillFrom(s, vars)
			return s
		}
		r := Request{Name: e.Name, Method: strings.ToUpper(e.Method), URL: fill(e.URL)}
		if r.Method == "" {
			r.Method = "GET"
		}
		for _, f := range pairs(e.Headers) {
			r.Header = append(r.Header, header.Field{Name: fill(f.Name), Value: fill(f.Value)})
		}
		kind, _ := e.Authentication["type"].(string)
		if off, _ := e.Authentication["disabled"].(bool); !off {
			addAuth(&r, kind, func(key string) string { s, _ := e.Authentication[key].(string); return fill(s) })
		}
		switch {
		case e.Body.Text != "":
			r.Body = []byte(fill(e.Body.Text))
		case len(e.Body.Params) > 0:
			var parts []string
			for _, v := range e.Body.Params {
				if !v.Disabled {
					parts = append(parts, url.QueryEscape(fill(v.Name))+"="+url.QueryEscape(fill(v.Value)))
				}
			}
			formBody(&r, strings.Join(parts, "&"))
		}
		if e.Body.MimeType != "" && !r.Header.Has("Content-Type") {
			r.Header.Add("Content-Type", e.Body.MimeType)
		}
		if err != nil {
			return nil, fmt.Errorf("the request %q: %w", clip(e.Name), err)
		}
		if !strings.Contains(r.URL, "://") {
			r.URL = "http://" + r.URL
		}
		out = append(out, r)
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the export has no request: %w", ErrForm)
	}
	return out, nil
}

var curly = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)

// fillFrom replaces {{name}}; a variable may name others, to a depth of ten.
func fillFrom(s string, vars map[string]string) (string, error) {
	for range 10 {
		if !strings.Contains(s, "{{") {
			return s, nil
		}
		var missing string
		s = curly.ReplaceAllStringFunc(s, func(m string) string {
			name := curly.FindStringSubmatch(m)[1]
			v, ok := vars[name]
			if !ok && missing == "" {
				missing = name
			}
			return v
		})
		if missing != "" {
			return "", fmt.Errorf("the variable {{%s}} is not defined in it; export it with its variables, or write the value in", clip(missing))
		}
		if len(s) > 1<<20 {
			return "", fmt.Errorf("variables make a text larger than 1 MiB")
		}
	}
	if curly.MatchString(s) {
		return "", fmt.Errorf("the variables name each other more than ten deep")
	}
	return s, nil
}
