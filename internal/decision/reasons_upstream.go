package decision

// Reasons of the gate upstream.
var (
	UpstreamNoneHealthy = &Reason{
		Code: "upstream.none_healthy", Gate: "upstream", Status: 503, Public: ToAnyone,
		Title:  "No healthy target",
		Detail: "No target of the upstream{upstream|| %} is healthy.",
		Means:  "Health checks, or failures seen in traffic, took every target out.",
		Advice: []Advice{
			{ByCaller, "Try again later; if it goes on, quote the trace id to the operator."},
			{ByOperator, "Look at the targets: {targets|the trace names them}."},
		},
	}
	UpstreamCircuitOpen = &Reason{
		Code: "upstream.circuit_open", Gate: "upstream", Status: 503, Public: ToAnyone,
		Title:  "Circuit open",
		Detail: "Calls to the upstream{upstream|| %} are suspended after repeated failures until {until|the next trial}.",
		Means:  "Too many calls failed; calls are suspended for a while so that the backend can recover.",
		Advice: []Advice{
			{ByCaller, "Try again later; if it goes on, quote the trace id to the operator."},
			{ByOperator, "Find out why the upstream fails; the circuit closes by itself."},
		},
	}
	UpstreamUnreachable = &Reason{
		Code: "upstream.unreachable", Gate: "upstream", Status: 502, Public: ToAnyone,
		Title:  "Upstream unreachable",
		Detail: "The gateway could not reach the upstream{upstream|| %}.",
		Means:  "No connection could be made, or it broke before an answer came.",
		Advice: []Advice{
			{ByCaller, "Try again later; if it goes on, quote the trace id to the operator."},
			{ByOperator, "Check that {target|the target|target %} listens and that a firewall lets the gateway through: {fault|see the trace}."},
		},
	}
	UpstreamBadAnswer = &Reason{
		Code: "upstream.bad_answer", Gate: "upstream", Status: 502, Public: ToAnyone,
		Title:  "Upstream answer malformed",
		Detail: "The upstream{upstream|| %} sent an answer that is not valid HTTP.",
		Means:  "The answer breaks the rules of HTTP framing, so that it cannot be passed on without guessing.",
		Advice: []Advice{
			{ByCaller, "Try again later; if it goes on, quote the trace id to the operator."},
			{ByOperator, "Find out what {target|the target|target %} sends: {fault|see the trace}."},
		},
	}
	UpstreamTimeout = &Reason{
		Code: "upstream.timeout", Gate: "upstream", Status: 504, Public: ToAnyone,
		Title:  "Upstream timed out",
		Detail: "The upstream{upstream|| %} did not answer within {limit|the time allowed}.",
		Means:  "The time limit of a phase (connect, TLS, first byte, or between bytes) passed.",
		Advice: []Advice{
			{ByCaller, "Try again later; if it goes on, quote the trace id to the operator."},
			{ByOperator, "Find out why {target|the target} is slow{phase|| in the phase %}, or raise that timeout."},
		},
	}
	UpstreamTLS = &Reason{
		Code: "upstream.tls", Gate: "upstream", Status: 502, Public: ToAnyone,
		Title:  "Upstream TLS failed",
		Detail: "A secure connection to the upstream{upstream|| %} failed.",
		Means:  "The certificate does not verify, or no common protocol was found.",
		Advice: []Advice{
			{ByCaller, "Try again later; if it goes on, quote the trace id to the operator."},
			{ByOperator, "Check certificate, server name and CA of {target|the target}: {fault|see the trace}."},
		},
	}
	UpstreamDNS = &Reason{
		Code: "upstream.dns", Gate: "upstream", Status: 502, Public: ToAnyone,
		Title:  "Upstream name not found",
		Detail: "The host name of the upstream{upstream|| %} cannot be resolved.",
		Means:  "The name of the target has no address, or the resolver did not answer.",
		Advice: []Advice{
			{ByCaller, "Try again later; if it goes on, quote the trace id to the operator."},
			{ByOperator, "Check the host name{target|| of %} and the resolver: {fault|see the trace}."},
		},
	}
	UpstreamCredential = &Reason{
		Code: "upstream.credential", Gate: "upstream", Status: 503, Public: ToAnyone,
		Title:  "No credential for the upstream",
		Detail: "The gateway has no usable credential for the upstream.",
		Means:  "The credential that the gateway presents to the backend is missing: its reference (an environment variable or a file) gives nothing.",
		Advice: []Advice{
			{ByCaller, "Quote the trace id to the operator."},
			{ByOperator, "Provide the secret that the upstream's credential refers to, then reload{reference|| (%)}."},
		},
	}
	UpstreamRefused = &Reason{
		Code: "upstream.refused", Gate: "upstream", Status: 0, Public: ToAnyone,
		Title:  "Refused by the backend",
		Detail: "The backend itself answered {status|with an error}; Postern let the request through.",
		Means:  "The refusal is the backend's own. Its body is passed untouched; Postern only adds the trace id and Proxy-Status.",
		Advice: []Advice{
			{ByCaller, "Read the body: it is the backend's answer, not the gateway's."},
			{ByOperator, "Look at the backend; `postern explain` shows that every gate passed."},
		},
	}
	ClientGone = &Reason{
		Code: "upstream.client_gone", Gate: "upstream", Status: 499, Public: ToOperator,
		Title:  "Client went away",
		Detail: "The client closed the connection before the answer was complete.",
		Means:  "Nobody was left to answer; the call to the upstream was cancelled. This is recorded, never sent.",
		Advice: []Advice{
			{ByCaller, "Wait for the answer, or raise the timeout of the client."},
			{ByOperator, "Compare the client's timeout with the latency of the upstream."},
		},
	}
)
