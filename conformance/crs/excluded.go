package crs

// excluded are the tests about requests that are not judged, by id, each with the reason.
var excluded = map[string]string{
	"920100-16": "an absolute target without a path is the root (RFC 9112 section 3.2.2); the gateway reads it so, and rules see the path",
	"920420-19": "every +json type is inspected as JSON here, cloudevents+json too, so there is no need to refuse it",
	"920420-20": "as 920420-19: cloudevents-batch+json",
	"920420-22": "as 920420-19: reports+json",
	"920620-1":  "describes httpd, which joins two Content-Type fields into one; here the rule sees both and matches, as 920620 is meant to",
}
