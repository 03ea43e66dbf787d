package admin_test

import (
	"slices"
	"strings"
	"sync"
	"testing"
)

func TestAChangeIsSeenComparedAndApplied(t *testing.T) {
	w := newWorld(t)
	if a := w.get(w.boot, "/api/v1/config"); a.refused(404, "not_found") == nil || a.header.Get("ETag") != `"0"` {
		t.Errorf("without a configuration: ETag %q", a.header.Get("ETag"))
	}
	if p := w.put(w.boot, "/api/v1/config", document).refused(428, "precondition_required"); !strings.Contains(p.Remedies[0], `"0"`) {
		t.Errorf("428 does not name the ETag: %v", p.Remedies)
	}
	dry := w.put(w.boot, "/api/v1/config?dry_run=true", document, "If-Match", `"0"`).want(200)
	if dry.field("dry_run") != true || w.config.n != 0 || len(dry.field("changes").([]any)) == 0 {
		t.Fatalf("dry run: %s, generation %d", dry.body, w.config.n)
	}
	done := w.put(w.boot, "/api/v1/config?comment=first", document, "If-Match", `"0"`).want(200)
	if done.header.Get("ETag") != `"1"` || done.field("generation") != 1.0 {
		t.Fatalf("applied: %s", done.body)
	}
	same := w.put(w.boot, "/api/v1/config", document, "If-Match", `"1"`).want(200)
	if same.field("unchanged") != true || same.header.Get("ETag") != `"1"` {
		t.Errorf("the same again: %s", same.body)
	}
	w.put(w.boot, "/api/v1/config", document+"# more\n", "If-Match", `"0"`).refused(412, "precondition_failed")
	w.put(w.boot, "/api/v1/config", document+"# more\n", "If-Match", `W/"1"`).refused(412, "precondition_failed")
	w.put(w.boot, "/api/v1/config", document+"# more\n", "If-Match", `1`).refused(400, "etag_malformed")
	w.put(w.boot, "/api/v1/config", document+"# more\n", "If-Match", `"7", "1"`).want(200)
	w.put(w.boot, "/api/v1/config", document+"# even more\n", "If-Match", `*`).want(200)

	read := w.get(w.boot, "/api/v1/config").want(200)
	if string(read.body) != document+"# even more\n" || read.header.Get("ETag") != `"3"` || read.header.Get("Content-Type") != "application/yaml" {
		t.Errorf("read back: %s", read.body)
	}
	w.get(w.boot, "/api/v1/config", "If-None-Match", `"3"`).want(304)
	json := w.get(w.boot, "/api/v1/config", "Accept", "application/json").want(200)
	if json.header.Get("Content-Type") != "application/json" || json.field("postern") != 1.0 {
		t.Errorf("as JSON: %s", json.body)
	}
	// The JSON form is a document as well.
	back := w.put(w.boot, "/api/v1/config?dry_run=true", string(json.body), "If-Match", `"3"`, "Content-Type", "application/json").want(200)
	if got := back.field("changes").([]any); len(got) != 0 {
		t.Errorf("JSON sent back changes %v", got)
	}
	if got := w.get(w.boot, "/api/v1/config/generations?limit=2"); !slices.Equal(got.items("comment"), []string{"", ""}) || got.text("next") == "" {
		t.Errorf("generations: %s", got.body)
	}
	if got := w.get(w.boot, "/api/v1/config/generations/1").want(200); string(got.body) != document {
		t.Errorf("generation 1: %s", got.body)
	}
	w.get(w.boot, "/api/v1/config/generations/9").refused(404, "not_found")
	w.get(w.boot, "/api/v1/config/generations/x").want(422)
	if got := w.get(w.boot, "/api/v1/config/schema").want(200); got.field("$schema") == nil {
		t.Errorf("schema: %s", got.body)
	}
}

func TestADocumentThatDoesNotCompileChangesNothing(t *testing.T) {
	w := populated(t)
	bad := strings.Replace(strings.Replace(document, "targets:", "target:", 1), "plans:", "plan:", 1)
	p := w.put(w.boot, "/api/v1/config", bad, "If-Match", `"1"`).refused(422, "document_invalid")
	if len(p.Errors) < 2 {
		t.Fatalf("not all problems are told: %+v", p.Errors)
	}
	for _, e := range p.Errors {
		if e.Pointer == "" && e.Message == "" || e.Line == 0 {
			t.Errorf("a problem without a place: %+v", e)
		}
	}
	if w.config.n != 1 {
		t.Errorf("generation %d", w.config.n)
	}
	checked := w.post(w.boot, "/api/v1/config/validate", bad, "Content-Type", "application/yaml").want(200)
	if checked.field("valid") != false || len(checked.field("problems").([]any)) != len(p.Errors) {
		t.Errorf("validate: %s", checked.body)
	}
	if good := w.post(w.boot, "/api/v1/config/validate", document, "Content-Type", "text/yaml; charset=utf-8").want(200); good.field("valid") != true {
		t.Errorf("validate: %s", good.body)
	}
	w.post(w.boot, "/api/v1/config/validate", document, "Content-Type", "image/png").refused(415, "media_type")
	w.post(w.boot, "/api/v1/config/validate", nil).refused(400, "malformed")
	w.put(w.boot, "/api/v1/config", strings.Repeat("#", 16<<20)+"\n", "If-Match", `"1"`).refused(413, "body_too_large")
	diff := w.post(w.boot, "/api/v1/config/diff", strings.Replace(document, "/now", "/today", 1)).want(200)
	if got := diff.field("changes").([]any); len(got) != 1 {
		t.Errorf("diff: %s", diff.body)
	}
}

func TestOnlyOneOfManyChangesWins(t *testing.T) {
	w := populated(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	got := map[int]int{}
	for i := range 8 {
		wg.Go(func() {
			a := w.put(w.boot, "/api/v1/config", document+strings.Repeat("#", i+1)+"\n", "If-Match", `"1"`)
			mu.Lock()
			got[a.status]++
			mu.Unlock()
		})
	}
	wg.Wait()
	if got[200] != 1 || got[412] != 7 {
		t.Errorf("answers %v, want one 200 and seven 412", got)
	}
}

func TestReadersDoNotSeeSecretsInTheDocument(t *testing.T) {
	w := populated(t)
	_, boss := w.user(w.boot, "boss@example.com", "", "admin")
	_, viewer := w.user(boss, "v@example.com", "", "viewer")
	for _, path := range []string{"/config", "/config?format=json", "/config/generations/1"} {
		if body := string(w.get(viewer, "/api/v1"+path).want(200).body); strings.Contains(body, "literal-secret") {
			t.Errorf("%s shows a viewer the credential:\n%s", path, body)
		}
		if body := string(w.get(boss, "/api/v1"+path).want(200).body); !strings.Contains(body, "literal-secret") {
			t.Errorf("%s hides from an administrator what is written there", path)
		}
	}
	changed := strings.Replace(document, "literal-secret", "other-secret", 1)
	if body := string(w.post(viewer, "/api/v1/config/diff", changed).want(200).body); strings.Contains(body, "literal-secret") {
		t.Errorf("diff shows the credential: %s", body)
	}
}
