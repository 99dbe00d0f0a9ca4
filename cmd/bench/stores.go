package main

import (
	"context"
	"fmt"
	"io"

	"streamgate/store/servertest"
)

// stores are the servers that a cluster has in common.
type stores struct {
	pg     *servertest.Postgres
	redis  *servertest.Redis
	minio  *servertest.MinIO
	consul *servertest.Consul
	bucket string
	opened []io.Closer
}

func startStores(ctx context.Context) (s *stores, err error) {
	s = &stores{}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.pg, err = keep(s, func() (*servertest.Postgres, error) {
		return servertest.StartPostgres(servertest.PostgresOptions{Durable: true})
	}); err != nil {
		return nil, err
	}
	if s.redis, err = keep(s, servertest.StartRedis); err != nil {
		return nil, err
	}
	if s.minio, err = keep(s, func() (*servertest.MinIO, error) { return servertest.StartMinIO("bin/minio") }); err != nil {
		return nil, fmt.Errorf("%w; make bin/minio builds it", err)
	}
	if s.consul, err = keep(s, func() (*servertest.Consul, error) { return servertest.StartConsul("bin/consul") }); err != nil {
		return nil, fmt.Errorf("%w; make bin/consul builds it", err)
	}
	s.bucket, err = s.minio.Bucket(ctx)
	return s, err
}

func keep[S io.Closer](s *stores, start func() (S, error)) (S, error) {
	server, err := start()
	if err == nil {
		s.opened = append(s.opened, server)
	}
	return server, err
}

func (s *stores) close() {
	for _, one := range s.opened {
		_ = one.Close() // the folder of the bench goes anyway
	}
}
