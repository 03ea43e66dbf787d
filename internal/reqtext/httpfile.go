package reqtext

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	variable    = regexp.MustCompile(`\{\{\s*([^{}]*?)\s*\}\}`)
	definition  = regexp.MustCompile(`^@([A-Za-z_][\w.-]*)\s*=\s*(.*)$`)
	nameComment = regexp.MustCompile(`^(?:#|//)\s*@name[ \t]+(.+)$`)
	methodFirst = regexp.MustCompile(`^([A-Z][A-Z-]*)[ \t]+(.+)$`)
	versionLast = regexp.MustCompile(`[ \t]+HTTP/[0-9.]+$`)
)

// parseHTTPFile reads an .http (or .rest) file as editors have it: requests separated by lines that begin with "###",
// variables "@name = value" used as {{name}}, comments with # or //, a body after an empty line, or "< file".
func parseHTTPFile(text string, o options) ([]Request, error) {
	p := httpFile{vars: map[string]string{}, options: o}
	text = strings.ReplaceAll(text, "\r\n", "\n")
	var out []Request
	first, name := 1, ""
	var section []string
	flush := func() error {
		r, err := p.request(section, first)
		if r != nil && err == nil {
			if r.Name == "" {
				r.Name = name
			}
			out = append(out, *r)
		}
		section = nil
		return err
	}
	for i, line := range strings.Split(text, "\n") {
		if title, ok := strings.CutPrefix(line, "###"); ok {
			if err := flush(); err != nil {
				return nil, err
			}
			first, name = i+2, strings.TrimSpace(strings.TrimLeft(title, "#"))
			if len(out) > maxRequests {
				return nil, fmt.Errorf("the file has more than %d requests", maxRequests)
			}
			continue
		}
		section = append(section, line)
	}
	if err := flush(); err != nil {
		return nil, err
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("the file has no request: %w", ErrForm)
	}
	return out, nil
}

type httpFile struct {
	options
	vars map[string]string
}

// request reads one section; nil when it has only comments and variables. first is the number of its first line.
func (p *httpFile) request(lines []string, first int) (*Request, error) {
	var r *Request
	name, target := "", ""
	i := 0
	for ; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		switch {
		case line == "" && r == nil:
		case r == nil && definition.MatchString(line):
			m := definition.FindStringSubmatch(line)
			v, err := p.fill(m[2], first+i)
			if err != nil {
				return nil, err
			}
			p.vars[m[1]] = v
		case strings.HasPrefix(line, "#") || strings.HasPrefix(line, "//"):
			if m := nameComment.FindStringSubmatch(line); m != nil {
				name = strings.TrimSpace(m[1])
			}
		case r == nil:
			start, err := p.fill(line, first+i)
			if err != nil {
				return nil, err
			}
			r = &Request{Method: "GET"}
			target = start
			if m := methodFirst.FindStringSubmatch(target); m != nil {
				r.Method, target = m[1], m[2]
			}
		case line == "":
			return p.finish(r, name, target, lines[i+1:], first+i+1)
		case lines[i] != strings.TrimLeft(lines[i], " \t") && len(r.Header) == 0 && strings.ContainsAny(line[:1], "?&/"):
			more, err := p.fill(line, first+i)
			if err != nil {
				return nil, err
			}
			target += more
		default:
			filled, err := p.fill(line, first+i)
			if err != nil {
				return nil, err
			}
			f, ok := field(filled)
			if !ok {
				return nil, fmt.Errorf("line %d: %q is no header field; an empty line ends the header", first+i, clip(line))
			}
			r.Header = append(r.Header, f)
		}
	}
	if r == nil {
		return nil, nil
	}
	return p.finish(r, name, target, nil, first+i)
}

func (p *httpFile) finish(r *Request, name, target string, body []string, first int) (*Request, error) {
	r.Name = name
	target = versionLast.ReplaceAllString(target, "")
	if !strings.Contains(target, "://") && !strings.HasPrefix(target, "/") {
		target = "http://" + target
	}
	if err := r.locate(target, "http"); err != nil {
		return nil, fmt.Errorf("line %d: %w", first, err)
	}
	for i, line := range body { // response handlers and references to earlier answers belong to the editor
		if strings.HasPrefix(line, "> ") || strings.HasPrefix(line, ">> ") || strings.HasPrefix(line, "<> ") {
			body = body[:i]
			break
		}
	}
	text := strings.Trim(strings.Join(body, "\n"), "\n")
	if file, ok := strings.CutPrefix(text, "< "); ok && !strings.Contains(text, "\n") {
		p.load(r, strings.TrimSpace(file))
		return r, nil
	}
	text, err := p.fill(text, first)
	if err != nil {
		return nil, err
	}
	r.setBody(text)
	return r, nil
}

// load takes a body from a file, or leaves it unknown.
func (o *options) load(r *Request, file string) {
	if o.readFile == nil {
		r.BodyUnknown = true
		r.Notes = append(r.Notes, fmt.Sprintf("the body is in the file %q, which was not read; what depends on it is unknown", clip(file)))
		return
	}
	b, err := o.readFile(file)
	if err != nil {
		r.BodyUnknown = true
		r.Notes = append(r.Notes, fmt.Sprintf("the body is in the file %q, which cannot be read; what depends on it is unknown", clip(file)))
		return
	}
	r.Body = append(r.Body, b...)
}

// fill replaces variables. One that is not defined is an error: its value would be a guess.
func (p *httpFile) fill(s string, line int) (string, error) {
	var missing string
	total := 0
	out := variable.ReplaceAllStringFunc(s, func(m string) string {
		name := variable.FindStringSubmatch(m)[1]
		v, ok := p.vars[name]
		if !ok && missing == "" {
			missing = name
		}
		if total += len(v); total > MaxSource {
			return ""
		}
		return v
	})
	if missing != "" {
		return "", fmt.Errorf("line %d: the variable {{%s}} is not defined; add a line @%s = value", line, clip(missing), clip(strings.TrimPrefix(missing, "$")))
	}
	if total > MaxSource || len(out) > MaxSource {
		return "", fmt.Errorf("line %d: variables make the request larger than %d MiB", line, MaxSource>>20)
	}
	return out, nil
}
