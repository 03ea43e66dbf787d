package policy

import (
	"reflect"
	"slices"
	"strings"
)

// nameOf returns what a list item is known by: its name, or what stands for one. Items of other types have none.
func nameOf(v reflect.Value) (string, bool) {
	switch item := v.Interface().(type) {
	case API:
		return item.Name, true
	case Version:
		return item.Version, true
	case Operation:
		return item.Name, true
	case Listener:
		return item.Name, true
	case Limit:
		return item.Name, true
	case Target:
		return item.URL, true
	case ModelPrice:
		return item.Version, true
	case CertificateFiles:
		return item.Cert, true
	case CSRFKey:
		return item.ID, true
	case DecisionSet:
		return item.Name, true
	case Policies:
		return item.Name, true
	}
	return "", false
}

func sortedKeys(m reflect.Value) []reflect.Value {
	keys := m.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	return keys
}
