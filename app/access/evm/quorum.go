package evm

import (
	"context"
	"errors"
	"slices"
	"strings"

	"streamgate/app/access"
)

// agreedAnswers reads the answers that a quorum of the endpoints give at one
// block. They agree question by question: a contract that says something else
// at each endpoint spoils no other's answer, though all wait for the slowest
// endpoint then.
func (c *chain) agreedAnswers(ctx context.Context, b access.Block, questions []access.Question) (list []access.Answer, source string, err error) {
	type said struct {
		by   *endpoint
		list []access.Answer
		err  error
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // who is late is no longer waited for
	answers := make(chan said, len(c.endpoints))
	for _, e := range c.endpoints {
		go func() {
			list, err := c.answers(ctx, e, b, questions)
			answers <- said{e, list, err}
		}()
	}
	t := newTally(c.cfg.Quorum, len(questions))
	var faults []error
	for range c.endpoints {
		s := <-answers
		if s.err != nil {
			faults = append(faults, s.err)
		} else if t.count(s.by.name, s.list); t.open == 0 && len(t.voters) >= c.cfg.Quorum {
			break
		}
	}
	if len(t.voters) < c.cfg.Quorum || t.open > 0 && t.open == len(questions) {
		return nil, "", errors.Join(append(faults, disagreement(c.cfg.Quorum, len(c.endpoints)))...)
	}
	return t.agreed, t.source(), nil
}

// tally counts the voices for each question's answers.
type tally struct {
	quorum int
	agreed []access.Answer // Amount is nil until a quorum said the same
	open   int             // questions without an agreed answer
	voters []voter
}

type voter struct {
	name string
	list []access.Answer
}

func newTally(quorum, questions int) *tally {
	return &tally{quorum: quorum, agreed: make([]access.Answer, questions), open: questions}
}

func (t *tally) count(name string, list []access.Answer) {
	t.voters = append(t.voters, voter{name, list})
	for i := range t.agreed {
		if t.agreed[i].Amount != nil {
			continue
		}
		voices := 0
		for _, v := range t.voters {
			if alike(v.list[i], list[i]) {
				voices++
			}
		}
		if voices >= t.quorum {
			t.agreed[i] = list[i]
			t.open--
		}
	}
}

// source names those who gave any of the agreed answers.
func (t *tally) source() string {
	var names []string
	for _, v := range t.voters {
		for i, a := range t.agreed {
			if a.Amount != nil && alike(a, v.list[i]) {
				names = append(names, v.name)
				break
			}
		}
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}

func alike(a, b access.Answer) bool {
	return a.Problem == b.Problem && a.Amount.Cmp(b.Amount) == 0
}
