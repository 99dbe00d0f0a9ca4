package main

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	const in = `{"paths": {
		"/api/v1/a": {
			"parameters": [{"description": "a\n b"}],
			"post": {"description": "Makes it.\n Answers 201 with a\n Location.", "responses": {"200": {"description": "Success", "content": {}}}},
			"delete": {"description": "Answers 204.", "responses": {"200": {"description": "Success", "content": {}}}},
			"get": {"description": "Plain.", "responses": {"200": {"description": "Success"}}}
		},
		"/v/{id}": {"get": {"responses": {"200": {"description": "Success"}}}}
	}}`
	const want = `{
  "paths": {
    "/api/v1/a": {
      "delete": {
        "description": "Answers 204.",
        "responses": {
          "204": {
            "description": "Success"
          },
          "400": {
            "$ref": "#/components/responses/Problem"
          },
          "401": {
            "$ref": "#/components/responses/Problem"
          },
          "403": {
            "$ref": "#/components/responses/Problem"
          },
          "409": {
            "$ref": "#/components/responses/Problem"
          },
          "412": {
            "$ref": "#/components/responses/Problem"
          },
          "429": {
            "$ref": "#/components/responses/TooManyRequests"
          },
          "default": {
            "$ref": "#/components/responses/Problem"
          }
        }
      },
      "get": {
        "description": "Plain.",
        "responses": {
          "200": {
            "description": "Success"
          },
          "400": {
            "$ref": "#/components/responses/Problem"
          },
          "401": {
            "$ref": "#/components/responses/Problem"
          },
          "403": {
            "$ref": "#/components/responses/Problem"
          },
          "429": {
            "$ref": "#/components/responses/TooManyRequests"
          },
          "default": {
            "$ref": "#/components/responses/Problem"
          }
        }
      },
      "parameters": [
        {
          "description": "a b"
        }
      ],
      "post": {
        "description": "Makes it. Answers 201 with a Location.",
        "responses": {
          "201": {
            "content": {},
            "description": "Success",
            "headers": {
              "Location": {
                "schema": {
                  "type": "string"
                }
              }
            }
          },
          "400": {
            "$ref": "#/components/responses/Problem"
          },
          "401": {
            "$ref": "#/components/responses/Problem"
          },
          "403": {
            "$ref": "#/components/responses/Problem"
          },
          "409": {
            "$ref": "#/components/responses/Problem"
          },
          "429": {
            "$ref": "#/components/responses/TooManyRequests"
          },
          "default": {
            "$ref": "#/components/responses/Problem"
          }
        }
      }
    },
    "/v/{id}": {
      "get": {
        "responses": {
          "200": {
            "description": "Success"
          },
          "400": {
            "$ref": "#/components/responses/Problem"
          },
          "401": {
            "$ref": "#/components/responses/Problem"
          },
          "403": {
            "$ref": "#/components/responses/Problem"
          },
          "404": {
            "$ref": "#/components/responses/Problem"
          },
          "429": {
            "$ref": "#/components/responses/TooManyRequests"
          },
          "default": {
            "$ref": "#/components/responses/Problem"
          }
        }
      }
    }
  }
}
`
	var out bytes.Buffer
	if err := run(strings.NewReader(in), &out); err != nil || out.String() != want {
		t.Errorf("run: %v\n%s", err, out.String())
	}
	for _, bad := range []string{"", "[]", "{}"} {
		if err := run(strings.NewReader(bad), &out); err == nil {
			t.Errorf("%q was taken for a document", bad)
		}
	}
}

// A finished document stays as it is: generating is idempotent, and a word that
// the code has gained makes this fail until the document has it.
func TestRunTwice(t *testing.T) {
	doc, err := os.ReadFile("../openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := run(bytes.NewReader(doc), &out); err != nil || out.String() != string(doc) {
		t.Errorf("the committed document changes when it is finished again: %v", err)
	}
}

// The generator's words become those of OpenAPI 3.1, and answers say what they
// always have.
func TestSchemas(t *testing.T) {
	const in = `{"paths": {"/api/v1/tasks": {"get": {"parameters": [{"name": "state", "schema": {"type": "string"}}], "responses": {
		"200": {"description": "Success", "content": {"application/json": {"schema": {"$ref": "#/components/schemas/streamgate.Task"}}}},
		"410": {"description": "Gone."}}}}},
		"components": {"responses": {"Problem": {"description": "p"}}, "schemas": {
			"streamgate.Lost": {"type": "object"},
			"streamgate.Failure": {"type": "object"},
			"streamgate.Task": {"type": "object", "properties": {
				"id": {"type": "string"}, "state": {"type": "string"}, "eta": {"type": "number", "nullable": true},
				"error": {"$ref": "#/components/schemas/streamgate.Failure"}, "created_at": {"type": "string"}}}}}}`
	var out bytes.Buffer
	if err := run(strings.NewReader(in), &out); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(strings.Fields(out.String()), "")
	for _, want := range []string{
		`"required":["created_at","id","state"]`,
		`"eta":{"type":"number"}`,
		`"schema":{"enum":["queued","processing","paused","succeeded","failed","cancelled"],"type":"string"}`,
		`"410":{"content":{"application/problem+json":`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("without %s:\n%s", want, text)
		}
	}
	for _, not := range []string{"Lost", "nullable"} {
		if strings.Contains(text, not) {
			t.Errorf("with %s:\n%s", not, text)
		}
	}
}
