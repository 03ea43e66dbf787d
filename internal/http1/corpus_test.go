package http1

import "strings"

const host = "Host: a.example\r\n"

var accepted = []struct {
	name, message string
	check         func(*Request, string) bool
}{
	{"plain", "GET / HTTP/1.1\r\n" + host + "\r\n", func(r *Request, b string) bool {
		return r.Method == "GET" && r.Path == "/" && r.Host == "a.example" && !r.Close && r.Kind == NoBody && b == ""
	}},
	{"query", "GET /a/b%20c?x=1&y={\"|\"}?z HTTP/1.1\r\n" + host + "\r\n", func(r *Request, _ string) bool {
		return r.Path == "/a/b%20c" && r.Query == "x=1&y={\"|\"}?z" && r.Form == OriginForm
	}},
	{"one empty line before", "\r\nGET / HTTP/1.1\r\n" + host + "\r\n", func(r *Request, _ string) bool { return r.Method == "GET" }},
	{"unusual method", "BREW-it! / HTTP/1.1\r\n" + host + "\r\n", func(r *Request, _ string) bool { return r.Method == "BREW-it!" }},
	{"lower case method is another method", "get / HTTP/1.1\r\n" + host + "\r\n", func(r *Request, _ string) bool { return r.Method == "get" }},
	{"white space around a value", "GET / HTTP/1.1\r\nA: \t b \tc\t \r\nB:\r\nC: \r\n" + host + "\r\n", func(r *Request, _ string) bool {
		return r.Header[0].Value == "b \tc" && r.Header[1].Value == "" && r.Header[2].Value == "" && r.Header.Has("B")
	}},
	{"obs-text in a value", "GET / HTTP/1.1\r\nA: caf\xc3\xa9 \xff\r\n" + host + "\r\n", func(r *Request, _ string) bool { return r.Header[0].Value == "caf\xc3\xa9 \xff" }},
	{"fixed length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\n\r\nhello", func(r *Request, b string) bool {
		return b == "hello" && r.Kind == FixedLength && r.ContentLength == 5
	}},
	{"length 0 is told from no length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 0\r\n\r\n", func(r *Request, b string) bool {
		return b == "" && r.Kind == FixedLength && r.Body.Done()
	}},
	{"body on GET", "GET / HTTP/1.1\r\n" + host + "content-length:3\r\n\r\nabc", func(r *Request, b string) bool { return b == "abc" }},
	{"body on HEAD", "HEAD / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", func(r *Request, b string) bool { return b == "abc" }},
	{"chunked", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0A;a;b=c; d = \"e\\\"\"\r\n0123456789\r\n000\r\n\r\n", func(r *Request, b string) bool {
		return b == "hello0123456789" && r.Kind == Chunked && r.ContentLength == -1
	}},
	{"trailers", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n1\r\na\r\n0\r\nX-Sum: 1\r\nAuthorization: no\r\nGrpc-Status: 0\r\n\r\n", func(r *Request, b string) bool {
		tr := r.Body.Trailer()
		return b == "a" && len(tr) == 2 && tr.Get("x-sum") == "1" && tr.Get("grpc-status") == "0"
	}},
	{"absolute-form", "GET http://A.example/x?y HTTP/1.1\r\n" + host + "\r\n", func(r *Request, _ string) bool {
		return r.Form == AbsoluteForm && r.Scheme == "http" && r.Host == "A.example" && r.Path == "/x" && r.Query == "y"
	}},
	{"absolute-form without path", "GET https://a.example?y HTTP/1.1\r\n" + host + "\r\n", func(r *Request, _ string) bool {
		return r.Path == "/" && r.Query == "y" && r.Scheme == "https"
	}},
	{"absolute-form for a whole server", "OPTIONS http://a.example HTTP/1.1\r\n" + host + "\r\n", func(r *Request, _ string) bool {
		return r.Form == AbsoluteForm && r.Path == "*"
	}},
	{"authority-form", "CONNECT a.example:443 HTTP/1.1\r\nHost: a.example:443\r\n\r\n", func(r *Request, _ string) bool {
		return r.Form == AuthorityForm && r.Host == "a.example:443" && r.Path == ""
	}},
	{"asterisk-form", "OPTIONS * HTTP/1.1\r\n" + host + "\r\n", func(r *Request, _ string) bool { return r.Form == AsteriskForm && r.Path == "*" }},
	{"IPv6 host", "GET / HTTP/1.1\r\nHost: [2001:db8::1]:8080\r\n\r\n", func(r *Request, _ string) bool { return r.Host == "[2001:db8::1]:8080" }},
	{"HTTP/1.0 without host", "GET / HTTP/1.0\r\n\r\n", func(r *Request, _ string) bool { return r.Minor == 0 && r.Close && r.Host == "" }},
	{"HTTP/1.0 keep-alive", "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", func(r *Request, _ string) bool { return !r.Close }},
	{"HTTP/1.0 expectation is ignored", "POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\na", func(r *Request, _ string) bool { return !r.Expect100 }},
	{"HTTP/1.0 upgrade is ignored", "GET / HTTP/1.0\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", func(r *Request, _ string) bool { return r.Upgrade == "" }},
	{"close", "GET / HTTP/1.1\r\n" + host + "Connection: foo, close\r\n\r\n", func(r *Request, _ string) bool { return r.Close }},
	{"close wins", "GET / HTTP/1.1\r\n" + host + "Connection: keep-alive\r\nConnection: CLOSE\r\n\r\n", func(r *Request, _ string) bool { return r.Close }},
	{"expect", "POST / HTTP/1.1\r\n" + host + "Expect: 100-Continue\r\nContent-Length: 1\r\n\r\na", func(r *Request, _ string) bool { return r.Expect100 }},
	{"expect without body", "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nContent-Length: 0\r\n\r\n", func(r *Request, _ string) bool { return !r.Expect100 }},
	{"upgrade", "GET / HTTP/1.1\r\n" + host + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", func(r *Request, _ string) bool { return r.Upgrade == "websocket" }},
	{"upgrade not asked for by Connection", "GET / HTTP/1.1\r\n" + host + "Upgrade: websocket\r\n\r\n", func(r *Request, _ string) bool { return r.Upgrade == "" }},
	{"look-alikes of framing fields frame nothing", "GET / HTTP/1.1\r\n" + host + "Content-Lengths: 5\r\nX-Content-Length: 5\r\nContent-Lengtk: 5\r\nTransfer-Encodinq: chunked\r\n\r\n", func(r *Request, _ string) bool { return r.Kind == NoBody }},
	{"longest length", "POST / HTTP/1.1\r\n" + host + "Content-Length: 9223372036854775807\r\n\r\n", nil},
}

func te(v string) string {
	return "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding:" + v + "\r\n\r\n0\r\n\r\n"
}
func cl(v string) string {
	return "POST / HTTP/1.1\r\n" + host + "Content-Length:" + v + "\r\n\r\nhello"
}
func chunks(v string) string {
	return "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n" + v
}
func field(v string) string  { return "GET / HTTP/1.1\r\n" + host + v + "\r\n\r\n" }
func target(v string) string { return "GET " + v + " HTTP/1.1\r\n" + host + "\r\n" }

var refused = []struct {
	name, message string
	code          Code
	status        int
}{
	// line endings
	{"bare LF after the request line", "GET / HTTP/1.1\n" + host + "\r\n", BadLineEnding, 400},
	{"bare LF after a field", "GET / HTTP/1.1\r\nHost: a\n\r\n", BadLineEnding, 400},
	{"bare LF as last line", "GET / HTTP/1.1\r\n" + host + "\n", BadLineEnding, 400},
	{"bare CR in the request line", "GET /\rx HTTP/1.1\r\n" + host + "\r\n", BadTarget, 400},
	{"bare CR in a value", field("A: b\rc"), BadLineEnding, 400},
	{"CR CR LF", field("A: b\r"), BadLineEnding, 400},
	{"bare CR in a name", field("A\rB: c"), BadLineEnding, 400},
	{"bare CR before the request", "\rGET / HTTP/1.1\r\n" + host + "\r\n", BadLineEnding, 400},
	{"bare LF before the request", "\nGET / HTTP/1.1\r\n" + host + "\r\n", BadLineEnding, 400},
	{"two empty lines before the request", "\r\n\r\nGET / HTTP/1.1\r\n" + host + "\r\n", BadMethod, 400},
	// request line
	{"space before the method", " GET / HTTP/1.1\r\n" + host + "\r\n", BadMethod, 400},
	{"TLS on a plain port", "\x16\x03\x01\x02\x00\x01", BadRequestLine, 400},
	{"two spaces after the method", "GET  / HTTP/1.1\r\n" + host + "\r\n", BadRequestLine, 400},
	{"two spaces after the target", "GET /  HTTP/1.1\r\n" + host + "\r\n", BadRequestLine, 400},
	{"space after the version", "GET / HTTP/1.1 \r\n" + host + "\r\n", BadRequestLine, 400},
	{"space in the target", "GET /a b HTTP/1.1\r\n" + host + "\r\n", BadRequestLine, 400},
	{"tab as separator", "GET\t/\tHTTP/1.1\r\n" + host + "\r\n", BadMethod, 400},
	{"method alone", "GET\r\n\r\n", BadRequestLine, 400},
	{"method with separator", "GE(T / HTTP/1.1\r\n" + host + "\r\n", BadMethod, 400},
	{"method with NUL", "GE\x00T / HTTP/1.1\r\n" + host + "\r\n", BadMethod, 400},
	{"HTTP/0.9", "GET /\r\n", BadVersion, 400},
	{"HTTP/0.9 said aloud", "GET / HTTP/0.9\r\n\r\n", BadVersion, 400},
	{"HTTP/1.2", "GET / HTTP/1.2\r\n" + host + "\r\n", BadVersion, 505},
	{"HTTP/2.0", "GET / HTTP/2.0\r\n" + host + "\r\n", BadVersion, 505},
	{"HTTP/3", "GET / HTTP/3\r\n" + host + "\r\n", BadVersion, 400},
	{"HTTP/1.10", "GET / HTTP/1.10\r\n" + host + "\r\n", BadVersion, 400},
	{"HTTP/01.1", "GET / HTTP/01.1\r\n" + host + "\r\n", BadVersion, 400},
	{"lower case version", "GET / http/1.1\r\n" + host + "\r\n", BadVersion, 400},
	{"no version but a space", "GET / \r\n" + host + "\r\n", BadVersion, 400},
	{"tab after the version", "GET / HTTP/1.1\t\r\n" + host + "\r\n", BadVersion, 400},
	// target
	{"fragment", target("/a#b"), BadTarget, 400},
	{"fragment in the query", target("/a?b#c"), BadTarget, 400},
	{"tab in the target", target("/a\tb"), BadTarget, 400},
	{"NUL in the target", target("/a\x00b"), BadTarget, 400},
	{"DEL in the query", target("/a?\x7f"), BadTarget, 400},
	{"non-ASCII target", target("/caf\xc3\xa9"), BadTarget, 400},
	{"non-ASCII query", target("/?caf\xc3\xa9"), BadTarget, 400},
	{"backslash in the path", target("/a\\b"), BadTarget, 400},
	{"broken escape", target("/a%2"), BadTarget, 400},
	{"escape that is not hexadecimal", target("/%zz"), BadTarget, 400},
	{"relative path", target("a/b"), BadTarget, 400},
	{"asterisk with GET", target("*"), BadTarget, 400},
	{"authority-form with GET", target("a.example:80"), BadTarget, 400},
	{"unknown scheme", target("ftp://a.example/"), BadTarget, 400},
	{"no authority", target("http:///x"), BadTarget, 400},
	{"user information", target("http://u@a.example/"), BadTarget, 400},
	{"fragment after the authority", target("http://a.example#x"), BadTarget, 400},
	{"origin-form with CONNECT", "CONNECT / HTTP/1.1\r\n" + host + "\r\n", BadTarget, 400},
	{"CONNECT without port", "CONNECT a.example HTTP/1.1\r\n" + host + "\r\n", BadTarget, 400},
	{"CONNECT to IPv6 without port", "CONNECT [::1] HTTP/1.1\r\nHost: [::1]\r\n\r\n", BadTarget, 400},
	{"CONNECT with a body", "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\nContent-Length: 1\r\n\r\nx", FramingConflict, 400},
	// host
	{"no host", "GET / HTTP/1.1\r\n\r\n", BadHost, 400},
	{"empty host", "GET / HTTP/1.1\r\nHost:\r\n\r\n", BadHost, 400},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", BadHost, 400},
	{"two hosts in HTTP/1.0", "GET / HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", BadHost, 400},
	{"host list", "GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", BadHost, 400},
	{"host with path", "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", BadHost, 400},
	{"host with user", "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n", BadHost, 400},
	{"host with two ports", "GET / HTTP/1.1\r\nHost: a:80:80\r\n\r\n", BadHost, 400},
	{"host with empty port", "GET / HTTP/1.1\r\nHost: a:\r\n\r\n", BadHost, 400},
	{"host with large port", "GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n", BadHost, 400},
	{"host with signed port", "GET / HTTP/1.1\r\nHost: a:+80\r\n\r\n", BadHost, 400},
	{"port without host", "GET / HTTP/1.1\r\nHost: :80\r\n\r\n", BadHost, 400},
	{"host with empty label", "GET / HTTP/1.1\r\nHost: a..b\r\n\r\n", BadHost, 400},
	{"broken IPv6", "GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", BadHost, 400},
	{"IPv4 in brackets", "GET / HTTP/1.1\r\nHost: [127.0.0.1]\r\n\r\n", BadHost, 400},
	{"IPv6 zone", "GET / HTTP/1.1\r\nHost: [fe80::1%25eth0]\r\n\r\n", BadHost, 400},
	{"text behind IPv6", "GET / HTTP/1.1\r\nHost: [::1]x\r\n\r\n", BadHost, 400},
	{"target and Host disagree", "GET http://b.example/ HTTP/1.1\r\n" + host + "\r\n", BadHost, 400},
	// fields
	{"folded value", field("A: b\r\n c"), ObsFold, 400},
	{"folded with a tab", field("A: b\r\n\tc"), ObsFold, 400},
	{"white space before the first field", "GET / HTTP/1.1\r\n " + host + "\r\n", ObsFold, 400},
	{"white space before the colon", field("A : b"), BadFieldName, 400},
	{"tab before the colon", field("A\t: b"), BadFieldName, 400},
	{"no colon", field("A"), BadFieldName, 400},
	{"empty name", field(": b"), BadFieldName, 400},
	{"separator in the name", field("A(b): c"), BadFieldName, 400},
	{"non-ASCII name", field("\xc3\xa9: c"), BadFieldName, 400},
	{"NUL in the name", field("A\x00: c"), BadFieldName, 400},
	{"NUL in the value", field("A: b\x00"), BadFieldValue, 400},
	{"escape in the value", field("A: b\x1bc"), BadFieldValue, 400},
	{"DEL in a long value", field("A: 0123456789abcdefghij\x7fk"), BadFieldValue, 400},
	{"vertical tab around a value", field("A: \x0bb"), BadFieldValue, 400},
	{"underscored length", field("Content_Length: 5"), BadFieldName, 400},
	{"underscored coding", field("transfer_encoding: chunked"), BadFieldName, 400},
	{"expectation", "POST / HTTP/1.1\r\n" + host + "Expect: magic\r\nContent-Length: 0\r\n\r\n", BadExpectation, 417},
	{"expectation twice", "POST / HTTP/1.1\r\n" + host + "Expect: 100-continue\r\nExpect: 100-continue\r\n\r\n", BadExpectation, 417},
	{"framing field announced as trailer", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nTrailer: a, content-length\r\n\r\n0\r\n\r\n", BadTrailer, 400},
	// Content-Length
	{"length twice, equal", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", BadContentLength, 400},
	{"length twice, different", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nContent-length: 6\r\n\r\nhello", BadContentLength, 400},
	{"length list", cl(" 5, 5"), BadContentLength, 400},
	{"length with plus", cl(" +5"), BadContentLength, 400},
	{"length with minus", cl(" -5"), BadContentLength, 400},
	{"negative zero", cl(" -0"), BadContentLength, 400},
	{"length with space inside", cl(" 5 5"), BadContentLength, 400},
	{"length in hexadecimal", cl(" 0x5"), BadContentLength, 400},
	{"length with fraction", cl(" 5.0"), BadContentLength, 400},
	{"length with exponent", cl(" 5e0"), BadContentLength, 400},
	{"length with underscore", cl(" 1_0"), BadContentLength, 400},
	{"length with tab", cl("\t5"), BadContentLength, 400},
	{"length quoted", cl(" \"5\""), BadContentLength, 400},
	{"length empty", cl(""), BadContentLength, 400},
	{"length overflows", cl(" 9223372036854775808"), BadContentLength, 400},
	{"length overflows far", cl(" 18446744073709551621"), BadContentLength, 400},
	{"length in foreign digits", cl(" \xd9\xa5"), BadContentLength, 400},
	// Transfer-Encoding
	{"length and coding", "POST / HTTP/1.1\r\n" + host + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FramingConflict, 400},
	{"coding and length", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", FramingConflict, 400},
	{"coding in HTTP/1.0", "POST / HTTP/1.0\r\n" + host + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", FramingConflict, 400},
	{"chunked twice in a list", te(" chunked, chunked"), BadTransferEncoding, 400},
	{"chunked twice in lines", te(" chunked\r\nTransfer-Encoding: chunked"), BadTransferEncoding, 400},
	{"identity and chunked in lines", te(" chunked\r\nTransfer-Encoding: identity"), BadTransferEncoding, 400},
	{"gzip, chunked", te(" gzip, chunked"), BadTransferEncoding, 501},
	{"gzip", te(" gzip"), BadTransferEncoding, 400},
	{"chunked, gzip", te(" chunked, gzip"), BadTransferEncoding, 400},
	{"chunked, identity", te(" chunked, identity"), BadTransferEncoding, 400},
	{"identity, chunked", te(" identity, chunked"), BadTransferEncoding, 400},
	{"identity", te(" identity"), BadTransferEncoding, 400},
	{"xchunked", te(" xchunked"), BadTransferEncoding, 400},
	{"chunked with parameter", te(" chunked;q=1"), BadTransferEncoding, 400},
	{"chunked quoted", te(" \"chunked\""), BadTransferEncoding, 400},
	{"chunked with comma", te(" chunked,"), BadTransferEncoding, 400},
	{"comma first", te(" ,chunked"), BadTransferEncoding, 400},
	{"empty coding", te(""), BadTransferEncoding, 400},
	{"tab before chunked", te("\tchunked"), BadTransferEncoding, 400},
	{"tab after chunked", te(" chunked\t"), BadTransferEncoding, 400},
	{"vertical tab before chunked", te(" \x0bchunked"), BadFieldValue, 400},
	{"form feed after chunked", te(" chunked\x0c"), BadFieldValue, 400},
	{"space before the colon of the coding", "POST / HTTP/1.1\r\n" + host + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", BadFieldName, 400},
	{"folded coding", te("\r\n chunked"), BadTransferEncoding, 400},
	{"Kelvin sign in chunked", te(" chun\xe2\x84\xaaed"), BadTransferEncoding, 400},
	// chunks
	{"size with prefix", chunks("0x5\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size with space behind", chunks("5 \r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size with space before", chunks(" 5\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size with tab behind", chunks("5\t\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size with plus", chunks("+5\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size negative", chunks("-5\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size with underscore", chunks("1_0\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size of 17 digits", chunks("00000000000000005\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size overflows int64", chunks("8000000000000000\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size empty", chunks("\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size missing before extension", chunks(";a=b\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"size followed by LF", chunks("5\nhello\r\n0\r\n\r\n"), BadLineEnding, 400},
	{"size followed by CR", chunks("5\rhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"extension followed by LF", chunks("5;a\nhello\r\n0\r\n\r\n"), BadLineEnding, 400},
	{"extension with empty value and LF", chunks("5;ext=\nhello\r\n0\r\n\r\n"), BadLineEnding, 400},
	{"extension with bare CR", chunks("5;a\rb\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"extension without name", chunks("5;\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"extension without value", chunks("5;a=\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"extension with open quote", chunks("5;a=\"b\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"extension with space behind", chunks("5;a \r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"extension too long", chunks("5;a=" + strings.Repeat("b", 300) + "\r\nhello\r\n0\r\n\r\n"), ChunkExtensions, 413},
	{"extension without end", chunks("5;a=" + strings.Repeat("b", 9000)), ChunkExtensions, 413},
	{"extensions that add up", chunks(strings.Repeat("1;a="+strings.Repeat("b", 200)+"\r\nx\r\n", 40) + "0\r\n\r\n"), ChunkExtensions, 413},
	{"size without end", chunks(strings.Repeat("0", 9000)), BadChunk, 400},
	{"data longer than its chunk", chunks("5\r\nhello!\r\n0\r\n\r\n"), BadChunk, 400},
	{"data shorter than its chunk", chunks("6\r\nhello\r\n0\r\n\r\n"), BadChunk, 400},
	{"data without CRLF", chunks("5\r\nhello0\r\n\r\n"), BadChunk, 400},
	{"data with LF", chunks("5\r\nhello\n0\r\n\r\n"), BadChunk, 400},
	{"data with CR CR", chunks("5\r\nhello\r\r0\r\n\r\n"), BadChunk, 400},
	{"trailer Content-Length", chunks("0\r\nContent-Length: 5\r\n\r\n"), BadTrailer, 400},
	{"trailer Transfer-Encoding", chunks("0\r\ntransfer-encoding: chunked\r\n\r\n"), BadTrailer, 400},
	{"trailer transfer_encoding", chunks("0\r\ntransfer_encoding: chunked\r\n\r\n"), BadTrailer, 400},
	{"trailer Host", chunks("0\r\nHost: b\r\n\r\n"), BadTrailer, 400},
	{"trailer folded", chunks("0\r\nA: b\r\n c\r\n\r\n"), ObsFold, 400},
	{"trailer with LF", chunks("0\r\nA: b\n\r\n"), BadLineEnding, 400},
	{"trailer ends with LF", chunks("0\r\n\n"), BadLineEnding, 400},
	{"trailer with space before the colon", chunks("0\r\nA : b\r\n\r\n"), BadFieldName, 400},
	{"trailer huge", chunks("0\r\nA: " + strings.Repeat("b", 9000) + "\r\n\r\n"), FieldsTooLarge, 431},
	{"trailers too many", chunks("0\r\n" + strings.Repeat("A: b\r\n", 33) + "\r\n"), FieldsTooLarge, 431},
	{"request behind the last chunk", chunks("0\r\nGET / HTTP/1.1\r\n\r\n"), BadFieldName, 400},
	// limits
	{"request line too long", target("/" + strings.Repeat("a", 9000)), LineTooLong, 414},
	{"request line without end", strings.Repeat("A", 9000), LineTooLong, 414},
	{"field too long", field("A: " + strings.Repeat("b", 17000)), FieldsTooLarge, 431},
	{"field without end", "GET / HTTP/1.1\r\nA: " + strings.Repeat("b", 17000), FieldsTooLarge, 431},
	{"fields too large together", field(strings.Repeat("A: "+strings.Repeat("b", 9000)+"\r\n", 8) + "B: c"), FieldsTooLarge, 431},
	{"too many fields", field(strings.Repeat("A: b\r\n", 128) + "B: c"), FieldsTooLarge, 431},
}
