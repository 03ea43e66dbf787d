package policy

import "strings"

// Suggest returns the candidate that a mistyped word most likely meant, or "" when none is near. Case, '-' and '_' do
// not count as mistakes, so that basePath and base-path lead to base_path.
func Suggest(word string, candidates []string) string {
	w := squeeze(word)
	if w == "" || len(w) > 100 {
		return ""
	}
	best, at := "", max(1, len(w)/3)+1
	for _, c := range candidates {
		if d := distance(w, squeeze(c), at); d < at {
			best, at = c, d
		}
	}
	return best
}

func squeeze(s string) string {
	return strings.NewReplacer("_", "", "-", "", " ", "").Replace(strings.ToLower(s))
}

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b (optimal string
// alignment), or returns limit when it takes that many or more.
func distance(a, b string, limit int) int {
	if len(a)-len(b) >= limit || len(b)-len(a) >= limit {
		return limit
	}
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return min(last[len(b)], limit)
}
