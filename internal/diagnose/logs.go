package diagnose

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"postern/internal/fingerprint"
	"postern/internal/reqtext"
)

// Log is a log to read. Its reader is read once, to the end.
type Log struct {
	Name   string
	Reader io.Reader
}

// Bounds of what is kept of logs: any size is read, little is remembered.
const (
	maxLine  = 64 << 10 // of a longer line the beginning counts
	maxKept  = 5000     // lines that may concern the case
	fewLines = 300      // logs this short were picked out by a person
)

// line is a line that may concern the case.
type line struct {
	log     string
	number  int
	text    string
	entry   entry
	near    float64 // 0 to 1: how surely it is about this request
	matches []fingerprint.Match
	phrases []fingerprint.Said
}

// reader reads logs and finds the lines that speak.
type reader struct {
	c      *theCase
	path   string
	traces []string
	at     time.Time // when the answer was made, from its Date
	kept   []line
	total  int
	error  bool // there is an error log among them
}

// logs reads the logs and puts what they say on the board.
func (c *theCase) logs(ctx context.Context) error {
	rd := &reader{c: c}
	if r := c.in.Request; r != nil {
		if l, err := reqtext.SplitURL(r.URL); err == nil {
			rd.path = l.Path
		}
		for _, name := range []string{"X-Request-Id", "X-Correlation-Id", "Traceparent", "X-B3-TraceId"} {
			rd.trace(r.Header.Get(name))
		}
	}
	if a := c.in.Answer; a != nil {
		for _, name := range []string{"Postern-Trace", "X-Request-Id", "X-Correlation-Id", "X-Kong-Request-Id", "CF-RAY", "x-amzn-RequestId", "X-Amz-Cf-Id", "X-Trace-Id"} {
			rd.trace(a.Header.Get(name))
		}
		rd.at = parseTime(time.RFC1123, a.Header.Get("Date"))
	}
	counts := newTally()
	for _, l := range c.in.Logs {
		if err := rd.read(ctx, l, counts); err != nil {
			return err
		}
	}
	if c.in.Request == nil && c.in.Answer == nil {
		c.tally(counts, rd.total)
		return nil
	}
	rd.relate()
	rd.weigh()
	return nil
}

func (rd *reader) trace(id string) {
	if strings.HasPrefix(id, "00-") && len(id) > 35 { // traceparent: version-trace-span-flags
		id = id[3:35]
	}
	if len(id) >= 8 {
		rd.traces = append(rd.traces, id)
	}
}

func (rd *reader) read(ctx context.Context, l Log, counts *tally) error {
	in := bufio.NewReaderSize(l.Reader, maxLine)
	var columns w3c
	if strings.Contains(strings.ToLower(l.Name), "error") {
		rd.error = true
	}
	for n := 1; ; n++ {
		raw, more, err := in.ReadLine()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("the log %s cannot be read at line %d: %w", l.Name, n, err)
		}
		text := strings.ToValidUTF8(string(raw), "?")
		for more && err == nil { // the rest of an overlong line
			_, more, err = in.ReadLine()
		}
		if n%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		rd.total++
		if strings.TrimSpace(text) == "" {
			continue
		}
		rd.line(line{log: l.Name, number: n, text: text, entry: parseLine(text, &columns)}, counts)
	}
}

// line keeps a line that may concern the case.
func (rd *reader) line(l line, counts *tally) {
	speaking := refusing(l.entry.status) || l.entry.status == 0 || l.entry.note != ""
	if !speaking {
		if rd.about(&l) > 0.9 {
			rd.keep(l)
		}
		return
	}
	l.matches = fingerprint.Logged(l.text)
	if l.entry.note != "" {
		l.matches = append(l.matches, fingerprint.Logged(l.entry.note)...)
		l.phrases = fingerprint.ReadLog(l.entry.note)
	}
	if l.entry.status == 0 && l.entry.format != "JSON" || strings.Contains(l.text, "=REJECTED") {
		l.phrases = append(l.phrases, fingerprint.ReadLog(clip(l.text, 2000))...)
	}
	counts.add(&l)
	l.near = rd.about(&l)
	if l.near > 0 || len(l.matches) > 0 || len(l.phrases) > 0 {
		rd.keep(l)
	}
}

func (rd *reader) keep(l line) {
	if len(rd.kept) >= maxKept { // the newest matter most
		rd.kept = slices.Delete(rd.kept, 0, maxKept/2)
	}
	l.text = clip(l.text, 4000)
	rd.kept = append(rd.kept, l)
}

// about says how surely a line is about the request, by itself.
func (rd *reader) about(l *line) float64 {
	for _, id := range rd.traces {
		if strings.Contains(l.text, id) {
			return 1
		}
	}
	if l.entry.target == "" || rd.path == "" {
		if rd.path != "" && len(rd.path) > 1 && strings.Contains(l.text, rd.path) {
			return 0.8
		}
		return 0
	}
	target := l.entry.target
	if i := strings.Index(target, "://"); i > 0 {
		if j := strings.IndexByte(target[i+3:], '/'); j >= 0 {
			target = target[i+3+j:]
		}
	}
	target, _, _ = strings.Cut(target, "?")
	r := rd.c.in.Request
	switch {
	case target != rd.path && !strings.HasSuffix(rd.path, target): // a proxy may have cut a prefix off
		return 0
	case l.entry.method != "" && l.entry.method != r.Method:
		return 0.3
	case target != rd.path && (len(target) < 2 || !refusing(l.entry.status)):
		return 0.2
	case l.entry.status != 0 && rd.c.status != 0 && l.entry.status != rd.c.status:
		return 0.4
	case !rd.at.IsZero() && !l.entry.at.IsZero() && l.entry.at.Sub(rd.at).Abs() > 10*time.Second:
		return 0.5
	}
	return 0.95
}

// relate judges the lines that name no request by those around them.
func (rd *reader) relate() {
	var times []time.Time
	strong := map[string][]int{}
	found := false
	for _, l := range rd.kept {
		if l.near >= 0.9 {
			found = true
			strong[l.log] = append(strong[l.log], l.number)
			if !l.entry.at.IsZero() {
				times = append(times, l.entry.at)
			}
		}
	}
	if !rd.at.IsZero() {
		times = append(times, rd.at)
	}
	for i := range rd.kept {
		l := &rd.kept[i]
		if l.near > 0 || l.entry.target != "" {
			continue
		}
		for _, t := range times {
			if !l.entry.at.IsZero() && l.entry.at.Sub(t).Abs() <= 2*time.Second {
				l.near = 0.85
			}
		}
		for _, n := range strong[l.log] {
			if d := l.number - n; d >= -20 && d <= 60 {
				l.near = max(l.near, 0.8)
			}
		}
		if rd.total <= fewLines {
			l.near = max(l.near, 0.7)
		}
	}
	if !found && rd.total <= fewLines { // the request is not named, but someone picked these lines
		for i := range rd.kept {
			rd.kept[i].near = max(rd.kept[i].near, 0.5)
		}
	}
}

// weigh puts the lines that concern the case on the board.
func (rd *reader) weigh() {
	c := rd.c
	spoke, upstream, alone, access := false, 0, false, ""
	sort.SliceStable(rd.kept, func(i, j int) bool { return rd.kept[i].near > rd.kept[j].near })
	for i := range rd.kept {
		l := &rd.kept[i]
		if l.near < 0.45 {
			continue
		}
		said := rd.say(l)
		spoke = spoke || said
		if l.near >= 0.9 && l.entry.status != 0 {
			access = l.log
			if l.entry.upstream != 0 {
				upstream = l.entry.upstream
			}
			alone = alone || l.entry.alone
			if c.status == 0 {
				c.status, c.report.Status = l.entry.status, l.entry.status
			}
			if !said {
				rd.quote(l, "", false)
			}
		}
	}
	from := func(id string, w float64, layer, text string) {
		c.board.add(id, "passage", w, layer, Evidence{From: "log", Text: text})
	}
	switch {
	case upstream != 0 && upstream == c.status && refusing(upstream):
		text := fmt.Sprintf("the log says that what is behind the proxy answered %d", upstream)
		weight := 2.6
		if c.words { // the application says more itself
			weight, c.behind = 0.6, true
		}
		from("backend_policy", weight, "backend", text)
		for _, id := range []string{"server_config_deny", "ip_denied", "server_method_limit", "server_file_permission", "server_directory_listing", "bot_ua_block", "waf_rule", "gateway_policy", "referer_rejected", "host_not_served"} {
			from(id, -2.6, "", text)
		}
	case alone && refusing(c.status):
		text := "the log says that nothing behind the proxy was asked"
		for _, id := range []string{"backend_policy", "account_suspended", "quota_exceeded"} {
			from(id, -2.6, "", text)
		}
	}
	if access != "" && !spoke && (c.family == "nginx" || c.family == "apache") && c.ownPage && upstream == 0 {
		text := "there is no line in an error log, as there would be for a rule over addresses or a file"
		for _, id := range []string{"server_config_deny", "ip_denied", "server_directory_listing", "server_file_permission", "server_misconfiguration", "waf_rule"} {
			c.board.add(id, "silence", -1.6, "", Evidence{From: "log", Text: text})
		}
		for _, id := range []string{"bot_ua_block", "referer_rejected", "origin_rejected", "server_method_limit", "role_insufficient", "host_not_served", "client_cert_missing"} {
			c.board.add(id, "silence", 0.5, "", Evidence{From: "log", Text: text})
		}
	}
	c.step("logs", Info, fmt.Sprintf("%d lines read, %d concern the request", rd.total, len(c.report.LogLines)))
}

// say puts what one line says on the board, and reports whether it said anything.
func (rd *reader) say(l *line) bool {
	c := rd.c
	said, cause, best := false, "", 0.0
	passedWAF := strings.Contains(l.text, ": Warning.") && !strings.Contains(l.text, "Access denied")
	add := func(id string, weight float64, layer, text string) {
		if layer == "waf" && passedWAF { // a firewall warns of requests that it lets pass
			weight = min(weight, 0.8)
		}
		weight = (weight + 0.6) * l.near
		c.board.add(id, "log", weight, layer, Evidence{From: "log", Text: text})
		if weight > best {
			cause, best = id, weight
		}
		said = true
	}
	own := map[string]float64{}
	for _, m := range l.matches {
		if m.Cause != "unknown" && (m.Weight > own[m.Cause]) {
			own[m.Cause] = m.Weight
			add(m.Cause, m.Weight, m.Layer, m.System+": "+m.Seen[0])
		}
	}
	for _, p := range l.phrases {
		if own[p.Cause] == 0 {
			add(p.Cause, p.Weight, p.Layer, fmt.Sprintf("the log says %q", p.Text))
		}
	}
	if id := ruleID(l.text); id != "" && !passedWAF && strings.Contains(l.text, "Access denied") {
		if len(id) == 6 && id[0] == '9' {
			add("waf_rule", 4, "waf", "rule "+id+" of the OWASP Core Rule Set refused")
		} else {
			add("gateway_policy", 4.4, "waf", "rule "+id+" refused, which is none of the OWASP Core Rule Set but the operator's own")
		}
	}
	if said {
		rd.quote(l, cause, best >= 3.6 && l.near >= 0.8)
	}
	return said
}

// ruleID is the id of a ModSecurity or Coraza rule in a line.
func ruleID(s string) string {
	i := strings.Index(s, `[id "`)
	if i < 0 {
		return ""
	}
	id, _, ok := strings.Cut(s[i+5:], `"`)
	if !ok || len(id) > 12 {
		return ""
	}
	return id
}

func (rd *reader) quote(l *line, cause string, settles bool) {
	r := rd.c.report
	if len(r.LogLines) < 12 {
		r.LogLines = append(r.LogLines, Quote{Log: l.log, Line: l.number, Text: clip(l.text, 500), Cause: cause, Settles: settles})
	}
}

// tally counts the refusals of logs by cause.
type tally struct {
	causes   map[string]*counted
	refusals int
}

type counted struct {
	n       int
	layers  map[string]int
	samples []Quote
	why     string
}

func newTally() *tally { return &tally{causes: map[string]*counted{}} }

func (t *tally) add(l *line) {
	cause, layer, best, why := "", "", 0.0, ""
	for _, m := range l.matches {
		if m.Weight > best && m.Cause != "unknown" {
			cause, layer, best, why = m.Cause, m.Layer, m.Weight, m.System+": "+m.Seen[0]
		}
	}
	for _, p := range l.phrases {
		if p.Weight > best {
			cause, layer, best, why = p.Cause, p.Layer, p.Weight, fmt.Sprintf("the log says %q", p.Text)
		}
	}
	if id := ruleID(l.text); id != "" && strings.Contains(l.text, "Access denied") && (len(id) != 6 || id[0] != '9') {
		cause, layer, why = "gateway_policy", "waf", "rule "+id+", the operator's own"
	}
	if cause == "" {
		switch s := l.entry.status; {
		case s == 429:
			cause, why = "rate_limited", "429"
		case s == 401:
			cause, why = "credential_missing", "401"
		case s == 405:
			cause, why = "wrong_method", "405"
		case s == 413:
			cause, why = "body_too_large", "413"
		case s == 407:
			cause, why = "proxy_in_between", "407"
		case s == 403 && l.entry.upstream == 403:
			cause, layer, why = "backend_policy", "backend", "403 from behind the proxy"
		}
	}
	if refusing(l.entry.status) {
		t.refusals++
	}
	if cause == "" {
		return
	}
	e := t.causes[cause]
	if e == nil {
		e = &counted{layers: map[string]int{}, why: why}
		t.causes[cause] = e
	}
	e.n++
	e.layers[layer]++
	if len(e.samples) < 3 {
		e.samples = append(e.samples, Quote{Log: l.log, Line: l.number, Text: clip(l.text, 500), Cause: cause})
	}
}

// tally ranks causes by how often the logs name them.
func (c *theCase) tally(t *tally, total int) {
	sum := 0
	for _, e := range t.causes {
		sum += e.n
	}
	c.counted = true
	for id, e := range t.causes {
		layer := ""
		for l, n := range e.layers {
			if l != "" && (layer == "" || n > e.layers[layer] || n == e.layers[layer] && l < layer) {
				layer = l
			}
		}
		k, _ := fingerprint.CauseOf(id)
		if layer == "" {
			layer = k.Layer
		}
		share := float64(e.n) / float64(max(sum, 1))
		c.report.Causes = append(c.report.Causes, Cause{ID: id, Layer: layer, Title: k.Title, Count: e.n, Confidence: math.Round(share*100) / 100,
			For: []Evidence{{From: "log", Text: fmt.Sprintf("%d lines; %s", e.n, e.why), Weight: 1}}, Caller: k.Caller, Operator: k.Operator})
	}
	slices.SortFunc(c.report.Causes, func(a, b Cause) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.ID, b.ID)
	})
	for _, k := range c.report.Causes {
		c.report.LogLines = append(c.report.LogLines, t.causes[k.ID].samples...)
	}
	c.report.Notes = append(c.report.Notes, fmt.Sprintf("%d lines read, %d refusals, %d lines that name a cause", total, t.refusals, sum))
	c.refusals = t.refusals
}
