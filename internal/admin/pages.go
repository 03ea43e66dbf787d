package admin

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"html/template"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"postern/internal/decision"
)

//go:embed pages.css
var pageStyle string

//go:embed pages.html
var pageSource string

var pages = template.Must(template.New("").Parse(pageSource))

// pagePolicy lets a page use its own inline style and nothing else.
var pagePolicy = func() string {
	sum := sha256.Sum256([]byte(pageStyle))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
}()

// registerPages mounts the start page, the OpenAPI description, and the answer for everything that is not there.
func (s *Server) registerPages() {
	s.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _, generation := s.Config.Current()
		s.render(w, 200, "start", struct {
			Version    string
			Generation uint64
			NotReady   []string
			Style      template.CSS
		}{s.Version, generation, s.notReady(), template.CSS(pageStyle)})
	})
	s.mux.HandleFunc("GET /api/openapi.json", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/openapi+json;version=3.1")
		_, _ = w.Write(s.openapi)
	})
	s.mux.HandleFunc("/", s.noRoute)
}

// noRoute answers what no pattern matches: 405 with Allow when the path exists for another method, else 404.
func (s *Server) noRoute(w http.ResponseWriter, r *http.Request) {
	var allow []string
	for _, m := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"} {
		probe := r.Clone(r.Context())
		probe.Method = m
		if _, pattern := s.mux.Handler(probe); pattern != "/" && pattern != "" {
			allow = append(allow, m)
		}
	}
	if len(allow) > 0 {
		list := strings.Join(allow, ", ")
		writeProblem(w, problem(405, "method_not_allowed", "This path does not take the method "+printableMethod(r.Method)+".", "Use one of: "+list+".").with("Allow", list))
		return
	}
	writeProblem(w, problem(404, "no_route", "There is nothing at this path.", "/api/openapi.json lists every route; the API begins at /api/v1/."))
}

func printableMethod(m string) string {
	if len(m) > 20 {
		m = m[:20]
	}
	return m
}

type advicePage struct{ Who, Text string }

type reasonPageData struct {
	*decision.Reason
	Detail string
	Told   string
	Others string
	Advice []advicePage
	Style  template.CSS
}

// pageOf words a reason without the facts of an occurrence.
func pageOf(r *decision.Reason) reasonPageData {
	said := decision.Refuse(r, nil).Render(decision.ToOperator)
	d := reasonPageData{Reason: r, Detail: said.Detail, Told: map[decision.Disclosure]string{
		decision.ToOperator: "only operators of the tenant", decision.ToOwner: "the owner of the calling application, and operators",
		decision.ToProven: "callers whose credential verified, and everyone above them", decision.ToAnyone: "every caller",
	}[r.Public], Style: template.CSS(pageStyle)}
	if told := r.Told(decision.ToAnyone); told != r {
		d.Others = told.Code
	}
	who := map[decision.Party]string{decision.ByCaller: "The caller", decision.ByOwner: "The owner of the application", decision.ByOperator: "An operator"}
	for i, a := range r.Advice {
		text := a.Text
		if i < len(said.Remedies) {
			text = said.Remedies[i]
		}
		d.Advice = append(d.Advice, advicePage{who[a.Who], text})
	}
	return d
}

// reasonPage is the page of one reason for people: the type of a refusal leads here.
func (s *Server) reasonPage(w http.ResponseWriter, r *http.Request) {
	reason := decision.ByCode(r.PathValue("code"))
	if reason == nil {
		writeProblem(w, problem(404, "not_found", "There is no reason with this code.", "/reasons/ lists them."))
		return
	}
	w.Header().Set("Vary", "Accept")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	if accept := r.Header.Get("Accept"); strings.Contains(accept, "text/markdown") && !strings.Contains(accept, "text/html") {
		w.Header().Set("Content-Type", "text/markdown; charset=utf-8")
		_, _ = w.Write(markdown(pageOf(reason)))
		return
	}
	s.render(w, 200, "reason", pageOf(reason))
}

func markdown(d reasonPageData) []byte {
	var b bytes.Buffer
	b.WriteString("# " + d.Title + "\n\n`" + d.Code + "`")
	if d.Status != 0 {
		b.WriteString(", answered with status " + strconv.Itoa(d.Status))
	}
	b.WriteString("\n\n" + d.Detail + "\n\n## What it means\n\n" + d.Means + "\n\n## What to do\n\n")
	for _, a := range d.Advice {
		b.WriteString("- **" + a.Who + ":** " + a.Text + "\n")
	}
	b.WriteString("\n## Who is told\n\n" + "This code is told to " + d.Told + ".")
	if d.Others != "" {
		b.WriteString(" Others are told `" + d.Others + "`.")
	}
	b.WriteString("\n")
	return b.Bytes()
}

type gateReasons struct {
	Gate    string
	Reasons []*decision.Reason
}

// reasonIndex lists the catalogue by gate.
func (s *Server) reasonIndex(w http.ResponseWriter, _ *http.Request) {
	var groups []gateReasons
	for _, r := range decision.Catalogue() {
		i := slices.IndexFunc(groups, func(g gateReasons) bool { return g.Gate == r.Gate })
		if i < 0 {
			groups, i = append(groups, gateReasons{Gate: r.Gate}), len(groups)
		}
		groups[i].Reasons = append(groups[i].Reasons, r)
	}
	w.Header().Set("Cache-Control", "public, max-age=3600")
	s.render(w, 200, "reasons", struct {
		Groups []gateReasons
		Style  template.CSS
	}{groups, template.CSS(pageStyle)})
}

func (s *Server) render(w http.ResponseWriter, status int, name string, data any) {
	var b bytes.Buffer
	if err := pages.ExecuteTemplate(&b, name, data); err != nil {
		s.Logger.Error("management page", "page", name, "err", err)
		writeProblem(w, problem(500, "fault", "The page could not be made, by a fault of the gateway.", "Report this defect with the gateway's log."))
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}
