package evm

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"streamgate/app/access/eth"
)

// said is what one endpoint said.
type said[T any] struct {
	by  *endpoint
	got T
	err error
}

// askAll asks all endpoints at once; their answers come as they come, one of
// each.
func askAll[T any](ctx context.Context, order []*endpoint, do func(context.Context, *endpoint) (T, error)) <-chan said[T] {
	answers := make(chan said[T], len(order))
	for _, e := range order {
		go func() {
			got, err := do(ctx, e)
			answers <- said[T]{e, got, err}
		}()
	}
	return answers
}

// quorum asks all endpoints until k of them have given answers of the same key.
func quorum[T any](ctx context.Context, k int, order []*endpoint, do func(context.Context, *endpoint) (T, error), key func(T) string) (answer T, source string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // who is late is no longer waited for
	answers := askAll(ctx, order, do)
	var faults []error
	voices := map[string][]string{}
	for range order {
		s := <-answers
		if s.err != nil {
			faults = append(faults, s.err)
			continue
		}
		id := key(s.got)
		if voices[id] = append(voices[id], s.by.name); len(voices[id]) == k {
			slices.Sort(voices[id])
			return s.got, strings.Join(voices[id], ", "), nil
		}
	}
	return answer, "", errors.Join(append(faults, disagreement(k, len(order)))...)
}

func disagreement(k, of int) error {
	return &fault{endpoint: "quorum", reason: reasonDisagree, detail: fmt.Sprintf("no %d of %d endpoints say the same", k, of)}
}

// agreedAnswers reads the answers that a quorum of the endpoints give at one
// block. They agree question by question: a contract that says something else
// at each endpoint spoils no other's answer, though all wait for the slowest
// endpoint then.
func (c *chain) agreedAnswers(ctx context.Context, b eth.Block, questions []eth.Question) (list []eth.Answer, source string, err error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // who is late is no longer waited for
	answers := askAll(ctx, c.endpoints, func(ctx context.Context, e *endpoint) ([]eth.Answer, error) {
		return c.answers(ctx, e, b, questions)
	})
	t := tally{quorum: c.cfg.Quorum, agreed: make([]eth.Answer, len(questions))}
	var faults []error
	for range c.endpoints {
		s := <-answers
		if s.err != nil {
			faults = append(faults, s.err)
		} else if t.count(s); len(t.voices) >= t.quorum && t.open() == 0 {
			break
		}
	}
	if len(t.voices) < t.quorum || len(questions) > 0 && t.open() == len(questions) {
		return nil, "", errors.Join(append(faults, disagreement(t.quorum, len(c.endpoints)))...)
	}
	return t.agreed, t.source(), nil
}

// tally counts the voices for the answers to each question.
type tally struct {
	quorum int
	agreed []eth.Answer // Amount is nil until a quorum said the same
	voices []said[[]eth.Answer]
}

func (t *tally) count(s said[[]eth.Answer]) {
	t.voices = append(t.voices, s)
	for i, answer := range s.got {
		if t.agreed[i].Amount != nil {
			continue
		}
		same := 0
		for _, v := range t.voices {
			if alike(v.got[i], answer) {
				same++
			}
		}
		if same >= t.quorum {
			t.agreed[i] = answer
		}
	}
}

// open is how many questions have no agreed answer.
func (t *tally) open() int {
	n := 0
	for _, a := range t.agreed {
		if a.Amount == nil {
			n++
		}
	}
	return n
}

// source names those who gave any of the agreed answers.
func (t *tally) source() string {
	var names []string
	for _, v := range t.voices {
		for i, a := range t.agreed {
			if a.Amount != nil && alike(a, v.got[i]) {
				names = append(names, v.by.name)
				break
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func alike(a, b eth.Answer) bool {
	return a.Problem == b.Problem && a.Amount.Cmp(b.Amount) == 0
}
