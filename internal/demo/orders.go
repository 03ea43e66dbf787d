package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
)

// Orders is a small service that keeps orders in memory.
type Orders struct {
	mu     sync.Mutex
	orders []Order
	mux    http.ServeMux
}

// Order is one order.
type Order struct {
	ID   int    `json:"id"`
	Item string `json:"item"`
	Qty  int    `json:"qty"`
}

// mostOrders bounds the memory of a demo that somebody forgets to stop; the oldest go.
const mostOrders = 10_000

// NewOrders starts with two orders.
func NewOrders() *Orders {
	o := &Orders{orders: []Order{{1, "espresso beans", 2}, {2, "filter paper", 100}}}
	o.mux.HandleFunc("GET /health", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	o.mux.HandleFunc("GET /orders", o.list)
	o.mux.HandleFunc("GET /orders/{id}", o.read)
	o.mux.HandleFunc("POST /orders", o.create)
	return o
}

func (o *Orders) ServeHTTP(w http.ResponseWriter, r *http.Request) { o.mux.ServeHTTP(w, r) }

func (o *Orders) list(w http.ResponseWriter, _ *http.Request) {
	o.mu.Lock()
	defer o.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"orders": o.orders[max(0, len(o.orders)-100):]})
}

func (o *Orders) read(w http.ResponseWriter, r *http.Request) {
	id, err := strconv.Atoi(r.PathValue("id"))
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, order := range o.orders {
		if err == nil && order.ID == id {
			answer(w, http.StatusOK, order)
			return
		}
	}
	fail(w, http.StatusNotFound, "no such order")
}

func (o *Orders) create(w http.ResponseWriter, r *http.Request) {
	var in Order
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20))
	d.DisallowUnknownFields()
	if err := d.Decode(&in); err != nil || !errors.Is(d.Decode(&struct{}{}), io.EOF) {
		fail(w, http.StatusBadRequest, "the body must be one JSON object with item and qty")
		return
	}
	if in.Item == "" || in.Qty < 1 {
		fail(w, http.StatusUnprocessableEntity, "item must not be empty and qty must be at least 1")
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	in.ID = o.orders[len(o.orders)-1].ID + 1
	o.orders = append(o.orders, in)
	if len(o.orders) > mostOrders {
		o.orders = append([]Order(nil), o.orders[len(o.orders)-mostOrders/2:]...)
	}
	w.Header().Set("Location", fmt.Sprintf("/orders/%d", in.ID))
	answer(w, http.StatusCreated, in)
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // the client may have gone; there is nobody to tell
}

func fail(w http.ResponseWriter, status int, message string) {
	answer(w, status, map[string]string{"error": message})
}
