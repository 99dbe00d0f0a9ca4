package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// jetStreamPeer is a JetStream server in this process.
type jetStreamPeer struct {
	server *server.Server
	conn   *nats.Conn
	js     jetstream.JetStream
	stream jetstream.Stream
}

const subject = "bench.jobs"

func startJetStream(ctx context.Context, parent string) (_ peer, err error) {
	dir, err := scratch(parent, "nats")
	if err != nil {
		return nil, err
	}
	p := &jetStreamPeer{}
	p.server, err = server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: dir, SyncAlways: true, NoSigs: true, NoLog: true})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	p.server.Start()
	if !p.server.ReadyForConnections(startLimit) {
		return nil, errors.New("the server is not ready")
	}
	if p.conn, err = nats.Connect("", nats.InProcessServer(p.server)); err != nil {
		return nil, err
	}
	if p.js, err = jetstream.New(p.conn); err != nil {
		return nil, err
	}
	p.stream, err = p.js.CreateStream(ctx, jetstream.StreamConfig{
		Name: "bench", Subjects: []string{subject}, Storage: jetstream.FileStorage, Retention: jetstream.WorkQueuePolicy,
	})
	return p, err
}

func (p *jetStreamPeer) about() string {
	return fmt.Sprintf("NATS JetStream %s in process: file storage, sync always, work-queue retention; Publish; one pull consumer, n workers, "+
		"each with DoubleAck (the server has removed the message; it writes the consumer's state some time later)", server.VERSION)
}

func (p *jetStreamPeer) close() error {
	if p.conn != nil {
		p.conn.Close()
	}
	p.server.Shutdown()
	p.server.WaitForShutdown()
	return nil
}

func (p *jetStreamPeer) push(ctx context.Context, l load) (float64, error) {
	return perSecond(ctx, l.Parallel, l.duration(), func(ctx context.Context) error {
		_, err := p.js.Publish(ctx, subject, l.Payload)
		return err
	})
}

// jetStreamWaiting is the most messages that work begins with: each costs a
// sync, and no more than that are worked off in the time.
const jetStreamWaiting = 3000

func (p *jetStreamPeer) work(ctx context.Context, l load) (rate float64, err error) {
	l.Waiting = min(l.Waiting, jetStreamWaiting)
	if err := p.fill(ctx, l); err != nil {
		return 0, err
	}
	// A new one each time: what the last one's workers had and did not finish
	// is there again at once.
	consumer, err := p.stream.CreateConsumer(ctx, jetstream.ConsumerConfig{
		Durable: "workers", AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1, AckWait: time.Minute,
	})
	if err != nil {
		return 0, err
	}
	messages, err := consumer.Messages(jetstream.PullMaxMessages(2 * l.Parallel))
	if err != nil {
		return 0, err
	}
	m := newMeter(l.Waiting)
	var workers sync.WaitGroup
	for range l.Parallel {
		workers.Go(func() {
			for {
				msg, err := messages.Next()
				if err != nil {
					return // it was stopped
				}
				if msg.DoubleAck(ctx) == nil {
					m.event()
				}
			}
		})
	}
	rate, err = m.rate(ctx, l.duration())
	messages.Stop()
	workers.Wait()
	return rate, errors.Join(err, p.stream.DeleteConsumer(ctx, "workers"))
}

// fill makes sure that messages are waiting.
func (p *jetStreamPeer) fill(ctx context.Context, l load) error {
	info, err := p.stream.Info(ctx)
	if err != nil {
		return err
	}
	var left atomic.Int64
	left.Store(int64(l.Waiting) - int64(info.State.Msgs))
	_, err = perSecond(ctx, 64, time.Minute, func(ctx context.Context) error {
		if left.Add(-1) < 0 {
			return errFull
		}
		_, err := p.js.Publish(ctx, subject, l.Payload)
		return err
	})
	if errors.Is(err, errFull) {
		return nil
	}
	return err
}
