package decision

import (
	"regexp"
	"strings"
	"testing"
	"unicode"
)

var askers = []Disclosure{ToOperator, ToOwner, ToProven, ToAnyone}

var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// templates returns every template of a reason.
func templates(r *Reason) []string {
	out := []string{r.Detail}
	for _, a := range r.Advice {
		out = append(out, a.Text)
	}
	return out
}

// factsFor makes a fact for every placeholder of a reason.
func factsFor(r *Reason, public Disclosure) []Fact {
	var facts []Fact
	seen := map[string]bool{}
	for _, text := range templates(r) {
		for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
			name, _, _ := strings.Cut(m[1], "|")
			name = strings.TrimSuffix(name, ".got")
			if seen[name] {
				continue
			}
			seen[name] = true
			f := Fact{Name: name, Want: "wanted-" + name, Got: "brought-" + name, Public: public}
			switch name { // facts that are whole phrases
			case "nearest":
				f.Want = " Did you mean /orders?"
			case "where", "on", "revoked", "per", "holders":
				f.Want = " at some place"
			}
			facts = append(facts, f)
		}
	}
	return facts
}

func TestTemplatesAreWellFormed(t *testing.T) {
	for _, r := range Catalogue() {
		for _, text := range append(templates(r), r.Title, r.Means) {
			bare := placeholder.ReplaceAllString(text, "")
			if strings.ContainsAny(bare, "{}") {
				t.Errorf("%s: stray brace in %q", r.Code, text)
			}
			for _, m := range placeholder.FindAllStringSubmatch(text, -1) {
				parts := strings.Split(m[1], "|")
				if len(parts) < 2 || len(parts) > 3 {
					t.Errorf("%s: {%s} has no words for when there is no such fact", r.Code, m[1])
				}
				if len(parts) == 3 && strings.Count(parts[2], "%") != 1 {
					t.Errorf("%s: the shape of {%s} needs one %%", r.Code, m[1])
				}
				if regexp.MustCompile(`^[a-z]+(\.got)?$`).FindString(parts[0]) == "" {
					t.Errorf("%s: {%s} names no fact", r.Code, m[1])
				}
			}
		}
		if placeholder.MatchString(r.Title + r.Means) {
			t.Errorf("%s: title and meaning are the same for every occurrence and take no facts", r.Code)
		}
	}
}

var ugly = regexp.MustCompile(`  | [.,;:)?]|\( |''|""|\.\.|,,|;;|::|: *[.;]|^[ .,;:]`)

// Sentences read well with every fact and with none.
func TestSentencesReadWell(t *testing.T) {
	for _, r := range Catalogue() {
		for _, asker := range askers {
			for name, facts := range map[string][]Fact{"without facts": nil, "with facts": factsFor(r, ToAnyone), "with facts for operators": factsFor(r, ToOperator)} {
				said := Refuse(r, nil, facts...).Render(asker)
				if len(said.Remedies) == 0 {
					t.Errorf("%s: nothing to do for %s", r.Code, asker)
				}
				for _, s := range append(said.Remedies, said.Detail) {
					first, _ := firstRune(s)
					switch {
					case ugly.MatchString(s), strings.ContainsAny(s, "{}|%"), s != strings.TrimSpace(s):
						t.Errorf("%s, %s, told to %s: reads badly: %q", r.Code, name, asker, s)
					case !strings.HasSuffix(s, ".") && !strings.HasSuffix(s, "?"):
						t.Errorf("%s, %s: not a sentence: %q", r.Code, name, s)
					case !unicode.IsUpper(first) && !strings.HasPrefix(s, "wanted-") && !strings.HasPrefix(s, "brought-"):
						t.Errorf("%s, %s: begins small: %q", r.Code, name, s)
					}
				}
			}
		}
		if !strings.HasSuffix(r.Means, ".") || strings.HasSuffix(r.Title, ".") || ugly.MatchString(r.Means) {
			t.Errorf("%s: the title is no sentence, the meaning is: %q, %q", r.Code, r.Title, r.Means)
		}
	}
}

func firstRune(s string) (rune, bool) {
	for _, r := range s {
		return r, true
	}
	return 0, false
}

// A fact reaches only those it is for, and every placeholder shows its fact to those.
func TestFactsReachThoseTheyAreFor(t *testing.T) {
	for _, r := range Catalogue() {
		for _, public := range askers {
			for _, asker := range askers {
				said := Refuse(r, nil, factsFor(r, public)...).Render(asker)
				text := said.Detail + strings.Join(said.Remedies, "\n")
				shown := strings.Contains(text, "wanted-") || strings.Contains(text, "brought-")
				if shown && (!public.VisibleTo(asker) || said.Reason != r) {
					t.Errorf("%s: a fact for %s is told to %s: %s", r.Code, public, asker, text)
				}
			}
		}
		said := Refuse(r, nil, factsFor(r, ToAnyone)...).Render(ToOperator)
		text := said.Detail + strings.Join(said.Remedies, "\n")
		for _, tmpl := range templates(r) {
			for _, m := range placeholder.FindAllStringSubmatch(tmpl, -1) {
				name, _, _ := strings.Cut(m[1], "|")
				want := "wanted-" + name
				if base, got := strings.CutSuffix(name, ".got"); got {
					want = "brought-" + base
				}
				switch name {
				case "nearest", "where", "on", "revoked", "per", "holders":
					want = factValue(name, factsFor(r, ToAnyone), ToOperator)
				}
				if !strings.Contains(text, want) {
					t.Errorf("%s: {%s} is not filled: %s", r.Code, m[1], text)
				}
			}
		}
	}
}

func TestSecretFactsAreNeverShown(t *testing.T) {
	f := SecretFact("permission", true)
	f.Public = ToAnyone
	said := Refuse(PermissionMissing, nil, f).Render(ToOperator)
	if strings.Contains(said.Detail, Redacted) || f.Got != Redacted || f.Want != "" {
		t.Errorf("%+v, %q", f, said.Detail)
	}
	if SecretFact("credential", false).Got != "" {
		t.Error("an absent secret looks present")
	}
}

// What callers may read must not describe how the operator's rules work: neither fields of the configuration nor facts
// about rules.
func TestTextsForCallersNameNoInternals(t *testing.T) {
	internal := regexp.MustCompile(`\{(rules?|range|check|targets?|kid|score|variable|peer|dependency|subject)[.|]`)
	for _, r := range Catalogue() {
		if r.Public == ToOperator {
			continue // only operators read it
		}
		texts := []string{r.Detail}
		for _, a := range r.Advice {
			if a.Who != ByOperator {
				texts = append(texts, a.Text)
			}
		}
		for _, s := range texts {
			if m := internal.FindString(s); m != "" && !(r.Gate == "schema" && m == "{rule|") {
				t.Errorf("%s: callers read %s...: %q", r.Code, m, s)
			}
			if strings.Contains(s, "`") {
				t.Errorf("%s: callers are told about configuration: %q", r.Code, s)
			}
		}
	}
}

// The example of DESIGN section 6, to the letter.
func TestTheExampleOfTheDesign(t *testing.T) {
	v := Refuse(PermissionMissing, nil,
		Fact{Name: "application", Want: "shop-web", Public: ToProven},
		Fact{Name: "action", Want: "create orders", Public: ToProven},
		Fact{Name: "permission", Want: "orders:create", Public: ToProven},
		Fact{Name: "tenant", Want: "acme", Public: ToProven},
		Fact{Name: "holders", Want: " (order-writer has it)", Public: ToProven})
	said := v.Render(ToProven)
	if said.Reason.Code != "authz.permission_missing" || said.Reason.Title != "Permission missing" || said.Reason.Status != 403 || said.Reason.Gate != "authz" {
		t.Errorf("%+v", said.Reason)
	}
	if want := "Application 'shop-web' may not create orders: none of its roles grants 'orders:create'."; said.Detail != want {
		t.Errorf("\n got %s\nwant %s", said.Detail, want)
	}
	want := "Ask an administrator of tenant 'acme' to grant 'shop-web' a role with 'orders:create' (order-writer has it)."
	if len(said.Remedies) != 1 || said.Remedies[0] != want {
		t.Errorf("\n got %q\nwant %q", said.Remedies, want)
	}
}

func TestValuesCannotForgeText(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                             "plain",
		"a\r\nb":                            "a??b",
		"\x1b[31mred":                       "?[31mred",
		"\u202egnp.exe":                     "?gnp.exe",
		"\xff":                              "?",
		"naïve 😀":                           "naïve 😀",
		strings.Repeat("x", 1000):           strings.Repeat("x", 301) + "…",
		"{tenant|oops} %":                   "{tenant|oops} %",
		strings.Repeat("é", 200) + "\u0085": strings.Repeat("é", 151) + "…",
	} {
		said := Refuse(ModelUnknown, nil, Fact{Name: "model", Got: in, Public: ToAnyone}).Render(ToProven)
		if got := strings.TrimSuffix(strings.TrimPrefix(said.Detail, "There is no model '"), "' here."); got != want {
			t.Errorf("%.40q is shown as %.40q (%d bytes), want %.40q (%d)", in, got, len(got), want, len(want))
		}
	}
}
