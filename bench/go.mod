module postern/bench

go 1.26.0

require golang.org/x/sys v0.49.0

require (
	github.com/corazawaf/coraza-coreruleset/v4 v4.25.0 // indirect
	github.com/magefile/mage v1.17.0 // indirect
)
