package admin

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
)

// errETag says that an If-Match or If-None-Match field cannot be read.
var errETag = errors.New("not a list of entity tags")

// parseETags reads If-Match or If-None-Match (RFC 9110 section 13.1): "*", or a list of entity tags. Weak tags are
// returned with their W/, so that the strong comparison of If-Match never meets them.
func parseETags(field string) (tags []string, star bool, err error) {
	rest := strings.Trim(field, " \t")
	if rest == "*" {
		return nil, true, nil
	}
	for {
		weak := ""
		if r, ok := strings.CutPrefix(rest, "W/"); ok {
			weak, rest = "W/", r
		}
		if !strings.HasPrefix(rest, `"`) {
			return nil, false, errETag
		}
		end := strings.IndexByte(rest[1:], '"')
		if end < 0 {
			return nil, false, errETag
		}
		tag := rest[:end+2]
		for i := 1; i < len(tag)-1; i++ {
			if c := tag[i]; c < 0x21 || c == 0x7f {
				return nil, false, errETag
			}
		}
		tags = append(tags, weak+tag)
		rest = strings.TrimLeft(rest[end+2:], " \t")
		if rest == "" {
			return tags, false, nil
		}
		if rest[0] != ',' {
			return nil, false, errETag
		}
		rest = strings.TrimLeft(rest[1:], " \t")
	}
}

// checkMatch compares an If-Match field with the current tag; without the field it passes.
func checkMatch(field, current string) error {
	if field == "" {
		return nil
	}
	tags, star, err := parseETags(field)
	if err != nil {
		return malformedMatch()
	}
	if star {
		return nil
	}
	for _, t := range tags {
		if t == current {
			return nil
		}
	}
	return changedMeanwhile(current)
}

func malformedMatch() *Problem {
	return problem(400, "etag_malformed", "If-Match cannot be read.", `Send the ETag as it was received, with its quotes: If-Match: "12".`)
}

func changedMeanwhile(current string) *Problem {
	return problem(412, "precondition_failed", "It was changed since you read it; it is "+current+" now.",
		"Read it again, repeat your change on what you read, and send it with the new ETag.").with("ETag", current)
}

// unmodified reports whether If-None-Match holds the current tag, by weak comparison.
func unmodified(field, current string) bool {
	if field == "" {
		return false
	}
	tags, star, err := parseETags(field)
	if err != nil {
		return false
	}
	for _, t := range tags {
		if strings.TrimPrefix(t, "W/") == current {
			return true
		}
	}
	return star
}

// generationTag is the entity tag of the document: its generation. YAML and JSON are two forms of one state, and either
// may be sent back, so they share it.
func generationTag(n uint64) string { return `"` + strconv.FormatUint(n, 10) + `"` }

// baseGeneration reads the generation a change is based on from If-Match. A star stands for the current one.
func baseGeneration(field string, current uint64) (uint64, error) {
	if field == "" {
		return 0, problem(428, "precondition_required", "The document may only be replaced by someone who has seen it.",
			"Send If-Match with the ETag of GET /api/v1/config; it is "+generationTag(current)+" now.").with("ETag", generationTag(current))
	}
	if err := checkMatch(field, generationTag(current)); err != nil {
		return 0, err
	}
	return current, nil
}

// rowTag is the entity tag of a row: a hash of what is shown of it.
func rowTag(row any) string {
	b, err := json.Marshal(row)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(b)
	return `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`
}
