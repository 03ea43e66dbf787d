package sqlite

import (
	"encoding/json"

	"postern/internal/decision"
	"postern/internal/record"
)

// appendDetail appends, as JSON, what of a record has no column of its own, or is not in its JSON form.
func appendDetail(b []byte, x *record.Record) []byte {
	d := *x
	d.Tenant, d.API, d.Operation, d.Application, d.Key, d.Reason, d.Gate, d.Outcome, d.Origin, d.Model, d.Path = "", "", "", "", "", "", "", "", "", "", ""
	d.Time = d.Time.UTC().Truncate(1e6) // to the millisecond, like every time in the store
	b = d.AppendJSON(b)
	if len(x.Steps) == 0 {
		return b
	}
	told, err := json.Marshal(disclosures(x.Steps))
	if err != nil {
		return b
	}
	b = append(b[:len(b)-1], `,"told":`...)
	return append(append(b, told...), '}')
}

// disclosures is how widely each fact of each step may be told, which their JSON form leaves out because callers see it.
func disclosures(steps []record.Step) [][]int {
	all := make([][]int, len(steps))
	for i := range steps {
		for _, f := range steps[i].Facts {
			all[i] = append(all[i], int(f.Public))
		}
	}
	return all
}

// readDetail fills in what has no column.
func readDetail(b []byte, x *record.Record) error {
	columns := *x
	d := struct {
		*record.Record
		Told [][]int `json:"told"`
	}{Record: x}
	if err := json.Unmarshal(b, &d); err != nil {
		return err
	}
	for i := range min(len(d.Told), len(x.Steps)) {
		for j := range min(len(d.Told[i]), len(x.Steps[i].Facts)) {
			x.Steps[i].Facts[j].Public = decision.Disclosure(d.Told[i][j])
		}
	}
	x.ID, x.Path, x.Outcome, x.Origin, x.Status = columns.ID, columns.Path, columns.Outcome, columns.Origin, columns.Status // always in the JSON form
	x.Time = x.Time.UTC()
	return nil
}
