package record_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"postern/internal/decision"
	"postern/internal/record"
	"postern/internal/storetest"
)

func TestAppendJSONIsWhatEncodingJSONMakes(t *testing.T) {
	for name, r := range map[string]record.Record{
		"every field": storetest.Whole(time.Date(2026, 11, 22, 19, 40, 1, 234_567_890, time.FixedZone("", 3600))),
		"no field":    {},
	} {
		std, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(r.AppendJSON(nil)); got != string(std) {
			t.Errorf("%s:\n got %s\nwant %s", name, got, std)
		}
	}
}

func FuzzAppendJSON(f *testing.F) {
	f.Add("plain", "Zoë \"quoted\" \\ \x00\x1f\x7f\xff\xed\xa0\x80\u2028</script>", int64(-1))
	f.Fuzz(func(t *testing.T, a, b string, n int64) {
		r := record.Record{Path: a, Query: b, BytesIn: n, Status: int(int32(n)), Fields: []record.Name{{Name: a, Value: b}, {Name: b, Value: a}}}
		std, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		var want, got record.Record
		if err := json.Unmarshal(std, &want); err != nil {
			t.Fatal(err)
		}
		mine := r.AppendJSON(nil)
		if err := json.Unmarshal(mine, &got); err != nil {
			t.Fatalf("%v: %s", err, mine)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-encoding/json +AppendJSON):\n%s", d)
		}
	})
}

func TestMatchSelectsByTimeToTheMillisecond(t *testing.T) {
	at := time.Date(2026, 11, 22, 19, 40, 1, 234_900_000, time.UTC)
	r := record.Record{ID: decision.NewTraceID(at), Time: at}
	for _, c := range []struct {
		name string
		q    record.Query
		want bool
	}{
		{"any time", record.Query{}, true},
		{"since that microsecond", record.Query{Since: at}, true},
		{"since a millisecond later", record.Query{Since: at.Add(time.Millisecond)}, false},
		{"until that microsecond", record.Query{Until: at}, true},
		{"until a millisecond earlier", record.Query{Until: at.Add(-time.Millisecond)}, false},
		{"before itself", record.Query{Before: r.ID}, false},
		{"before a later one", record.Query{Before: decision.NewTraceID(at.Add(time.Second))}, true},
	} {
		if got := c.q.Match(&r); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
