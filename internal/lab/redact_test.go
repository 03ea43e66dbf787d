package lab

import "testing"

func TestRedactURL(t *testing.T) {
	for in, want := range map[string]string{
		"http://a/b":                         "http://a/b",
		"http://a/b?x=1&token=t&api_key=k&y": "http://a/b?x=1&token=[redacted]&api_key=[redacted]&y",
		"http://a/b?signature=":              "http://a/b?signature=",
		"http://a/postern_1H5yX2m91H5yX2m91H5yX2m91H5yX2m92MibJn": "[redacted]",
	} {
		if got := redactURL(in); got != want {
			t.Errorf("%s is shown as %s, want %s", in, got, want)
		}
	}
}
