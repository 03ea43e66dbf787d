package diagnose

import (
	"encoding/json"
	"net"
	"net/netip"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// entry is what a line of a log says in common terms; what it does not say is zero.
type entry struct {
	format   string
	at       time.Time
	client   string
	method   string
	target   string
	status   int
	upstream int  // the status that something behind answered
	alone    bool // the server answered without asking anything behind it
	note     string
}

var (
	requestInLine = regexp.MustCompile(`"([A-Z]{3,10}) (\S+?)(?: HTTP/[0-9.]+)?"`)
	clf           = regexp.MustCompile(`^(\S+) (\S+) .{0,200}?\[(\d{2}/\w{3}/\d{4}:\d{2}:\d{2}:\d{2} [+-]\d{4})\] "[^"]*" (\d{3})\b`)
	afterRequest  = regexp.MustCompile(`HTTP/[0-9.]+" (\d{3})\b`)
	nginxError    = regexp.MustCompile(`^(\d{4}/\d{2}/\d{2} \d{2}:\d{2}:\d{2}) \[(\w+)\] `)
	nginxClient   = regexp.MustCompile(`client: ([0-9a-fA-F.:]+)`)
	apacheError   = regexp.MustCompile(`^\[(\w{3} \w{3} +\d{1,2} \d{2}:\d{2}:\d{2}(?:\.\d+)? \d{4})\]`)
	apacheClient  = regexp.MustCompile(`\[client ([0-9a-fA-F.:]+?)(?::\d+)?\]`)
	haproxyLine   = regexp.MustCompile(`(\S+):\d+ \[(\d{2}/\w{3}/\d{4}:\d{2}:\d{2}:\d{2})\.\d{3}\] \S+ (\S+)/(\S+) [-\d/+]+ (\d{3}|-1) \S+ \S+ \S+ (\S{4}) `)
	envoyLine     = regexp.MustCompile(`^\[(\d{4}-\d{2}-\d{2}T[0-9:.]+Z)\] "[^"]*" (\d{3}) (\S+)`)
	squidLine     = regexp.MustCompile(`^(\d{10})\.\d{3} +\d+ (\S+) (\w+)/(\d{3}) \d+ ([A-Z]+) (\S+)`)
	albLine       = regexp.MustCompile(`^(?:https?|h2|grpcs|wss?) (\d{4}-\d{2}-\d{2}T[0-9:.]+Z) \S+ (\S+):\d+ (\S+) \S+ \S+ \S+ (\d{3}|-) (\d{3}|-) `)
	upstreamField = regexp.MustCompile(`\b(?:ups|upstream_status|us|upstream)[=:]\s*"?(\d{3}|-)`)
	rfcTime       = regexp.MustCompile(`\b(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}:\d{2})(?:[.,]\d+)?(Z|[+-]\d{2}:?\d{2})?`)
)

// w3c are the columns of a W3C log, as its #Fields line names them.
type w3c map[string]int

// parseLine reads one line of any of the logs that are known. columns is set by a #Fields line and used by those after it.
func parseLine(line string, columns *w3c) (e entry) {
	switch {
	case strings.HasPrefix(line, "#Fields:"):
		*columns = w3c{}
		for i, name := range strings.Fields(line[len("#Fields:"):]) {
			(*columns)[name] = i
		}
		return e
	case strings.HasPrefix(line, "#"):
		return e
	case *columns != nil:
		if e, ok := w3cLine(line, *columns); ok {
			return e
		}
	}
	if strings.HasPrefix(strings.TrimLeft(line, " "), "{") {
		if e, ok := jsonLine(line); ok {
			return e
		}
	}
	e.request(line)
	switch {
	case match(albLine, line, func(m []string) {
		e.format, e.at, e.client = "AWS ALB", parseTime(time.RFC3339Nano, m[1]), m[2]
		e.status, e.upstream = number(m[4]), number(m[5])
		e.alone = m[3] == "-" || m[5] == "-"
	}):
	case match(envoyLine, line, func(m []string) {
		e.format, e.at, e.status = "Envoy", parseTime(time.RFC3339Nano, m[1]), number(m[2])
		e.flags(m[3])
	}):
	case match(haproxyLine, line, func(m []string) {
		e.format, e.client, e.at, e.status = "HAProxy", m[1], parseTime("02/Jan/2006:15:04:05", m[2]), number(m[5])
		e.alone = m[4] == "<NOSRV>" || strings.HasPrefix(m[6], "PR")
		if !e.alone && strings.HasPrefix(m[6], "--") {
			e.upstream = e.status
		}
	}):
	case match(squidLine, line, func(m []string) {
		e.format, e.client, e.status, e.method, e.target = "Squid", m[2], number(m[4]), m[5], m[6]
		e.at = time.Unix(int64(number(m[1])), 0).UTC()
		e.alone = strings.Contains(m[3], "DENIED")
	}):
	case match(clf, line, func(m []string) {
		e.format, e.client, e.at, e.status = "access log", m[1], parseTime("02/Jan/2006:15:04:05 -0700", m[3]), number(m[4])
		if _, err := netip.ParseAddr(m[2]); err == nil { // some put the virtual host in front
			e.client = m[2]
		}
	}):
	case match(nginxError, line, func(m []string) {
		e.format, e.at = "nginx error log", parseTime("2006/01/02 15:04:05", m[1])
		match(nginxClient, line, func(m []string) { e.client = m[1] })
	}):
	case match(apacheError, line, func(m []string) {
		e.format = "Apache error log"
		at, _, _ := strings.Cut(m[1], ".")
		if len(m[1]) > 24 {
			at += m[1][len(m[1])-5:]
		}
		e.at = parseTime("Mon Jan _2 15:04:05 2006", at)
		match(apacheClient, line, func(m []string) { e.client = m[1] })
	}):
	default:
		match(afterRequest, line, func(m []string) { e.status = number(m[1]) })
		match(rfcTime, line, func(m []string) { e.at = looseTime(m[1], m[2], m[3]) })
	}
	match(upstreamField, line, func(m []string) {
		e.upstream = number(m[1])
		e.alone = m[1] == "-"
	})
	return e
}

func match(re *regexp.Regexp, s string, then func([]string)) bool {
	m := re.FindStringSubmatch(s)
	if m == nil {
		return false
	}
	then(m)
	return true
}

func (e *entry) request(line string) {
	match(requestInLine, line, func(m []string) { e.method, e.target = m[1], m[2] })
}

// flags reads Envoy's response flags.
func (e *entry) flags(flags string) {
	for _, f := range strings.Split(flags, ",") {
		switch f {
		case "UAEX":
			e.note, e.alone = "ext_authz_denied UAEX", true
		case "RL", "RLSE":
			e.note, e.alone = "request_rate_limited by Envoy", true
		case "NR":
			e.note, e.alone = "no route matched", true
		case "-", "":
		}
	}
}

func number(s string) int { n, _ := strconv.Atoi(s); return n }

func parseTime(layout, s string) time.Time { t, _ := time.Parse(layout, s); return t.UTC() }

func looseTime(date, clock, zone string) time.Time {
	if zone == "" {
		zone = "Z"
	}
	if len(zone) == 5 {
		zone = zone[:3] + ":" + zone[3:]
	}
	return parseTime(time.RFC3339, date+"T"+clock+zone)
}

// w3cLine reads a line of IIS or another writer of the W3C extended format.
func w3cLine(line string, columns w3c) (e entry, ok bool) {
	fields := strings.Fields(line)
	get := func(name string) string {
		if i, ok := columns[name]; ok && i < len(fields) && fields[i] != "-" {
			return fields[i]
		}
		return ""
	}
	if len(fields) != len(columns) {
		return e, false
	}
	e = entry{format: "W3C (IIS)", at: looseTime(get("date"), get("time"), ""), client: get("c-ip"), method: get("cs-method"), target: get("cs-uri-stem"), status: number(get("sc-status"))}
	if q := get("cs-uri-query"); q != "" {
		e.target += "?" + q
	}
	if sub := get("sc-substatus"); sub != "" {
		e.note = "sc-status " + get("sc-status") + ", sc-substatus " + sub
	}
	return e, true
}

// jsonLine reads a line that is a JSON object: names differ from writer to writer and mean the same.
func jsonLine(line string) (e entry, ok bool) {
	var m map[string]any
	if json.Unmarshal([]byte(line), &m) != nil {
		return e, false
	}
	e.format = "JSON"
	flat := map[string]any{}
	flatten("", m, flat, 0)
	text := func(names ...string) string {
		for _, n := range names {
			switch v := flat[n].(type) {
			case string:
				if v != "" && v != "-" {
					return v
				}
			case float64:
				return strconv.FormatFloat(v, 'f', -1, 64)
			}
		}
		return ""
	}
	e.status = number(text("status", "response_code", "statuscode", "status_code", "downstreamstatus", "response.status", "transaction.response.http_code", "http.response.status_code", "httpstatus", "code", "httprequest.status", "resp_status", "response.statuscode"))
	e.method = text("method", "request.method", "requestmethod", "request_method", "httpmethod", "transaction.request.method", "http.request.method", "verb", "httprequest.requestmethod", "req_method")
	e.target = text("path", "uri", "url", "request.uri", "request.url", "requestpath", "request_uri", "transaction.request.uri", "requesturi", "http.request.path", "request.path", "resourcepath", "original_path", "x-envoy-original-path", "httprequest.requesturl", "url.path")
	e.client = text("client", "client_ip", "clientip", "remote_addr", "remote", "request.remote_ip", "clienthost", "ip", "downstream_remote_address", "transaction.client_ip", "remote_ip", "sourceip", "httprequest.clientip", "request.client_ip")
	if host, _, err := net.SplitHostPort(e.client); err == nil {
		e.client = host
	}
	e.upstream = number(text("upstream_status", "originstatus", "upstream.status", "integrationstatus", "target_status"))
	var notes []string
	for _, name := range []string{"authorizererror", "error.message", "response_code_details", "responsecodedetails", "error", "msg", "message", "err", "detail", "reason", "error_description"} {
		if v := text(name); v != "" {
			notes = append(notes, v)
		}
	}
	e.note = clip(strings.Join(notes, "; "), 2000)
	e.flags(text("response_flags", "responseflags"))
	for _, name := range []string{"time", "ts", "timestamp", "@timestamp", "starttime", "start_time", "startutc", "transaction.time_stamp", "requesttime"} {
		switch v := flat[name].(type) {
		case string:
			match(rfcTime, v, func(m []string) { e.at = looseTime(m[1], m[2], m[3]) })
			if e.at.IsZero() {
				e.at = parseTime("02/Jan/2006:15:04:05 -0700", v)
			}
		case float64:
			if v > 1e12 {
				v /= 1000
			}
			if v > 1e9 && v < 1e11 {
				e.at = time.Unix(int64(v), 0).UTC()
			}
		}
		if !e.at.IsZero() {
			break
		}
	}
	return e, true
}

func flatten(prefix string, m map[string]any, to map[string]any, depth int) {
	for k, v := range m {
		name := strings.ToLower(prefix + k)
		if sub, ok := v.(map[string]any); ok && depth < 4 {
			flatten(name+".", sub, to, depth+1)
			continue
		}
		if len(to) < 500 {
			to[name] = v
		}
	}
}
