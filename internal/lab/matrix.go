package lab

import (
	"context"
	"encoding/csv"
	"io"
	"net/netip"
	"slices"
	"strings"

	"postern/internal/decision"
	"postern/internal/directory"
	"postern/internal/gate"
	"postern/internal/snapshot"
)

// Matrix says who may call what: a row for each operation that is served, a cell for each application. Its JSON is stable.
type Matrix struct {
	Generation   uint64      `json:"generation"`
	Applications []string    `json:"applications"`
	Operations   []MatrixRow `json:"operations"`
	Notes        []string    `json:"notes,omitempty"`
}

// MatrixRow is an operation.
type MatrixRow struct {
	API       string `json:"api"`
	Version   string `json:"version"`
	Operation string `json:"operation"`
	Method    string `json:"method"`
	Path      string `json:"path"` // template
	Cells     []Cell `json:"cells"`
}

// Cell is what becomes of a request of one application: allowed, refused or unknown.
type Cell struct {
	Application string `json:"application"`
	Verdict     string `json:"verdict"`
	Reason      string `json:"reason,omitempty"` // of the first refusal
	Needs       string `json:"needs,omitempty"`  // what is missing, when it is not known
}

// String is the cell as tables show it.
func (c Cell) String() string {
	switch {
	case c.Reason != "" && c.Verdict == Refused:
		return c.Reason
	case c.Needs != "":
		return "depends on " + c.Needs
	}
	return c.Verdict
}

// MostCells bounds a matrix.
const MostCells = 200_000

// WhoMayCallWhat asks the gates themselves: each cell is a request of that application from that address, which
// may be unknown, without a body and with a stand-in for every path parameter. What depends on more than that is unknown.
func WhoMayCallWhat(ctx context.Context, snap *snapshot.Snapshot, env *gate.Env, applications []directory.Application, from netip.Addr) (Matrix, error) {
	dry, blind := dryEnv(env)
	base := still(situation{snap: snap, env: dry, blind: blind})
	m := Matrix{Generation: snap.Generation, Applications: []string{}, Operations: []MatrixRow{}, Notes: []string{
		"each application is taken to call with a credential that is limited to nothing; bodies and path parameters are stand-ins"}}
	for _, a := range applications {
		m.Applications = append(m.Applications, a.ID)
	}
	for _, op := range snap.Operations() {
		if op.State != "published" && op.State != "deprecated" {
			continue
		}
		row := MatrixRow{API: op.API, Version: op.Version, Operation: op.Name, Method: op.Method, Path: op.Template, Cells: []Cell{}}
		for _, a := range applications {
			if err := ctx.Err(); err != nil {
				return m, err
			}
			s := base
			s.req, s.ifs.caller = sample(snap, op), &caller{application: a.ID}
			if from.IsValid() {
				s.peer = netip.AddrPortFrom(from, 0)
			}
			asked, err := newWorld(s).run(ctx, nil)
			if err != nil {
				return m, err
			}
			row.Cells = append(row.Cells, cellOf(a.ID, asked))
		}
		m.Operations = append(m.Operations, row)
	}
	return m, nil
}

func cellOf(application string, a *asked) Cell {
	c := Cell{Application: application, Verdict: Allowed}
	switch {
	case len(a.refusals) > 0:
		c.Verdict, c.Reason = Refused, a.refusals[0].Verdict.Reason().Code
	case a.unknown != nil:
		c.Verdict = Unknown
		var needs []string
		for _, f := range a.unknown.Verdict.Facts() {
			if f.Want != "" && f.Public == decision.ToAnyone && !slices.Contains(needs, f.Name) {
				needs = append(needs, f.Name)
			}
		}
		c.Needs = words(needs)
		if c.Needs == "" {
			c.Needs = "what the gate " + a.unknown.Gate + " needs"
		}
	}
	return c
}

// sample is a request for an operation.
func sample(snap *snapshot.Snapshot, op snapshot.Operation) Request {
	host := "any.invalid"
	if len(op.Hosts) > 0 {
		host = strings.Replace(op.Hosts[0], "*", "any", 1)
	}
	r := Request{Method: op.Method, URL: "http://" + host + samplePath(op.Template)}
	if r.Method == "*" {
		r.Method = "GET"
	}
	r.BodyUnknown = r.Method != "GET" && r.Method != "HEAD" && r.Method != "DELETE"
	if p, ok := placeOf(op.Pointer); ok && snap.Document != nil {
		if h := snap.Document.APIs[p.api].Versions[p.version].ByHeader; h != nil {
			r.Header.Add(h.Name, h.Value)
		}
	}
	return r
}

// samplePath fills a template.
func samplePath(template string) string {
	segments := strings.Split(template, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = "x"
		}
	}
	return strings.Join(segments, "/")
}

// WriteCSV writes the matrix as RFC 4180 text: a line for each operation, a column for each application.
func (m Matrix) WriteCSV(w io.Writer) error {
	out := csv.NewWriter(w)
	head := append([]string{"api", "version", "operation", "method", "path"}, m.Applications...)
	if err := out.Write(safeCells(head)); err != nil {
		return err
	}
	for _, row := range m.Operations {
		line := []string{row.API, row.Version, row.Operation, row.Method, row.Path}
		for _, c := range row.Cells {
			line = append(line, c.String())
		}
		if err := out.Write(safeCells(line)); err != nil {
			return err
		}
	}
	out.Flush()
	return out.Error()
}

// safeCells keeps spreadsheets from taking a name for a formula.
func safeCells(cells []string) []string {
	for i, c := range cells {
		if c != "" && c != "*" && strings.ContainsRune("=+-@", rune(c[0])) {
			cells[i] = "'" + c
		}
	}
	return cells
}
