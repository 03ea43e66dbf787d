package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"mime"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"postern/internal/decision"
	"postern/internal/policy"
	"postern/internal/store"
)

const (
	typeYAML = "application/yaml" // RFC 9512
	typeJSON = "application/json"
)

type getConfigInput struct {
	Accept      string `header:"Accept" hidden:"true"`
	Format      string `query:"format" enum:"yaml,json" doc:"Wins over Accept; without either it is YAML, as it was written."`
	IfNoneMatch string `header:"If-None-Match"`
}

// documentOutput is a document in either form.
type documentOutput struct {
	Status      int
	ContentType string `header:"Content-Type"`
	ETag        string `header:"ETag" doc:"The generation, for If-Match."`
	Vary        string `header:"Vary"`
	Body        []byte
}

type putConfigInput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	IfMatch     string `header:"If-Match" doc:"ETag of the document that the change is based on."`
	DryRun      bool   `query:"dry_run" doc:"Check and compare, change nothing."`
	Comment     string `query:"comment" maxLength:"500" doc:"Why; kept with the generation."`
	RawBody     []byte `contentType:"application/yaml"`
}

type documentInput struct {
	ContentType string `header:"Content-Type" hidden:"true"`
	RawBody     []byte `contentType:"application/yaml"`
}

// Applied is what a change did, or would do.
type Applied struct {
	Generation uint64          `json:"generation" doc:"The generation that runs now."`
	DryRun     bool            `json:"dry_run,omitempty"`
	Unchanged  bool            `json:"unchanged,omitempty" doc:"The document was the running one already: no generation was made."`
	Changes    []policy.Change `json:"changes" nullable:"false" doc:"What differs in meaning from the generation before."`
}

type appliedOutput struct {
	ETag string `header:"ETag"`
	Body Applied
}

// Checked is the result of a check.
type Checked struct {
	Valid    bool      `json:"valid"`
	Problems []Finding `json:"problems" nullable:"false" doc:"Everything that is wrong, not only the first."`
}

// Compared is the difference between two documents.
type Compared struct {
	From    uint64          `json:"from" doc:"Generation that was compared with."`
	Changes []policy.Change `json:"changes" nullable:"false"`
}

func (s *Server) registerConfig() {
	const tag = "configuration"
	register(s, route{id: "get-config", method: "GET", path: "/config", tag: tag, summary: "Get the document",
		about: "As YAML, the way it was written, or as JSON. Literal secrets are left out for readers who may not change the document."}, s.getConfig)
	register(s, route{id: "put-config", method: "PUT", path: "/config", tag: tag, summary: "Replace the document", body: maxDocument,
		about: "The whole document, as YAML or JSON. It is compiled first: one that does not compile changes nothing and is answered with everything that is wrong in it."}, s.putConfig)
	register(s, route{id: "validate-config", method: "POST", path: "/config/validate", tag: tag, summary: "Check a document", body: maxDocument, status: 200}, s.validateConfig)
	register(s, route{id: "diff-config", method: "POST", path: "/config/diff", tag: tag, summary: "Compare a document with the running one", body: maxDocument, status: 200,
		about: "By meaning: order, comments and spelled-out defaults do not count."}, s.diffConfig)
	register(s, route{id: "get-schema", method: "GET", path: "/config/schema", tag: tag, summary: "JSON Schema of the document, for editors"},
		func(context.Context, *caller, *struct{}) (*documentOutput, error) {
			return &documentOutput{Status: 200, ContentType: "application/schema+json", Body: policy.Schema()}, nil
		})
	// The body of these is a document, in either form.
	for path, op := range map[string]func(*huma.PathItem) *huma.Operation{
		"/config":          func(p *huma.PathItem) *huma.Operation { return p.Put },
		"/config/validate": func(p *huma.PathItem) *huma.Operation { return p.Post },
		"/config/diff":     func(p *huma.PathItem) *huma.Operation { return p.Post },
	} {
		body := op(s.api.OpenAPI().Paths["/api/v1"+path]).RequestBody
		body.Content = map[string]*huma.MediaType{typeYAML: {Schema: &huma.Schema{Type: "string"}}, typeJSON: {Schema: &huma.Schema{Type: "object", AdditionalProperties: true}}}
	}
}

// documentType refuses bodies that say they are something else. A document in JSON is a document in YAML too.
func documentType(field string) error {
	if field == "" {
		return nil
	}
	t, _, err := mime.ParseMediaType(field)
	switch {
	case err == nil && slices.Contains([]string{typeYAML, typeJSON, "text/yaml", "text/x-yaml", "application/x-yaml", "text/plain", "application/octet-stream"}, t):
		return nil
	}
	return problem(415, "media_type", fmt.Sprintf("A document is not sent as %.80q.", field), "Use Content-Type: application/yaml or application/json.")
}

func (s *Server) getConfig(_ context.Context, c *caller, in *getConfigInput) (*documentOutput, error) {
	doc, source, generation := s.Config.Current()
	if doc == nil {
		return nil, problem(404, "not_found", "There is no configuration yet.", `Apply one with PUT and If-Match: "0".`).with("ETag", generationTag(0))
	}
	if unmodified(in.IfNoneMatch, generationTag(generation)) {
		return &documentOutput{Status: 304, ETag: generationTag(generation), Vary: "Accept"}, nil
	}
	return renderDocument(c, doc, source, generation, in.Format, in.Accept)
}

func renderDocument(c *caller, doc *policy.Document, source []byte, generation uint64, format, accept string) (*documentOutput, error) {
	if !c.may(writeConfig) {
		var err error
		doc = withoutSecrets(doc)
		if source, err = policy.Marshal(doc); err != nil {
			return nil, err
		}
	}
	out := &documentOutput{Status: 200, ContentType: typeYAML, ETag: generationTag(generation), Vary: "Accept", Body: source}
	if format == "json" || format == "" && prefersJSON(accept) {
		b, err := json.MarshalIndent(doc, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("document as JSON: %w", err)
		}
		out.ContentType, out.Body = typeJSON, append(b, '\n')
	}
	return out, nil
}

// prefersJSON reads Accept as far as it is needed: JSON when it is named and YAML is not named before it.
func prefersJSON(accept string) bool {
	accept = strings.ToLower(accept)
	j, y := strings.Index(accept, typeJSON), strings.Index(accept, "yaml")
	return j >= 0 && (y < 0 || j < y)
}

// withoutSecrets copies a document without the literal credentials in it. References such as ${env:TOKEN} stay.
func withoutSecrets(doc *policy.Document) *policy.Document {
	d := *doc
	d.Upstreams = maps.Clone(doc.Upstreams)
	for name, u := range d.Upstreams {
		if u.Credential != nil && !strings.Contains(u.Credential.Value, "${") {
			cr := *u.Credential
			cr.Value = decision.Redacted
			u.Credential = &cr
			d.Upstreams[name] = u
		}
	}
	return &d
}

// changesFor is the difference as the caller may see it.
func changesFor(c *caller, a, b *policy.Document) []policy.Change {
	if a == nil {
		a = &policy.Document{}
	}
	if b == nil {
		b = &policy.Document{}
	}
	changes := policy.Diff(a, b)
	if !c.may(writeConfig) {
		changes = policy.Diff(withoutSecrets(a), withoutSecrets(b))
	}
	return emptyList(changes)
}

func (s *Server) putConfig(ctx context.Context, c *caller, in *putConfigInput) (*appliedOutput, error) {
	current, source, generation := s.Config.Current()
	base, err := baseGeneration(in.IfMatch, generation)
	if err != nil {
		return nil, err
	}
	if err := documentType(in.ContentType); err != nil {
		return nil, err
	}
	// The body lives in a pooled buffer; the configuration keeps its source.
	body := bytes.Clone(in.RawBody)
	next, err := policy.Parse("", body)
	if err != nil {
		return nil, err
	}
	out := &appliedOutput{Body: Applied{Generation: generation, DryRun: in.DryRun, Changes: changesFor(c, current, next)}}
	if current != nil && bytes.Equal(source, body) {
		out.Body.Unchanged = true
		out.ETag = generationTag(generation)
		return out, nil
	}
	n, err := s.Config.Apply(ctx, base, body, c.actor, c.from(), in.Comment, in.DryRun)
	if errors.Is(err, store.ErrConflict) {
		_, _, now := s.Config.Current()
		return nil, changedMeanwhile(generationTag(now))
	}
	if err != nil {
		return nil, err
	}
	out.Body.Generation = n
	out.ETag = generationTag(n)
	return out, nil
}

func (s *Server) validateConfig(ctx context.Context, c *caller, in *documentInput) (*struct{ Body Checked }, error) {
	if err := documentType(in.ContentType); err != nil {
		return nil, err
	}
	body := bytes.Clone(in.RawBody)
	err := store.ErrConflict
	for range 5 { // another change may land between the two; a check does not care on which generation it is based
		if !errors.Is(err, store.ErrConflict) {
			break
		}
		_, _, generation := s.Config.Current()
		_, err = s.Config.Apply(ctx, generation, body, c.actor, c.from(), "", true)
	}
	var found policy.Problems
	if errors.As(err, &found) {
		return &struct{ Body Checked }{Checked{Problems: findings(found)}}, nil
	}
	if err != nil {
		return nil, err
	}
	return &struct{ Body Checked }{Checked{Valid: true, Problems: []Finding{}}}, nil
}

func (s *Server) diffConfig(_ context.Context, c *caller, in *documentInput) (*struct{ Body Compared }, error) {
	if err := documentType(in.ContentType); err != nil {
		return nil, err
	}
	current, _, generation := s.Config.Current()
	next, err := policy.Parse("", bytes.Clone(in.RawBody))
	if err != nil {
		return nil, err
	}
	return &struct{ Body Compared }{Compared{From: generation, Changes: changesFor(c, current, next)}}, nil
}
