#!/usr/bin/env python3
"""Writes v1.36.3.txt, the schemas of the built-in kinds, from a running kube-apiserver.

    kubectl proxy --port 8001 &
    python3 compact.py http://127.0.0.1:8001 > v1.36.3.txt

One block per type, its name first, then the group, version and kind it is if it is one:

    apps.v1.Deployment apps/v1/Deployment
     spec @apps.v1.DeploymentSpec {}

A field has a name, a form, and marks. Forms: s text, b flag, i int32, l int64, d number, y base64, t time, q quantity,
x number or text, * anything, @TYPE, [FORM list, {FORM map. Marks: `=` set, `=a,b` list keyed by these fields, `!` one
value, `~a` key of strategic merge patches, `+` required, `{}` never absent, `:JSON` default, `|A|B` allowed values.
A `!` after a type's name: it is one value.
"""
import json, sys, urllib.request

base = sys.argv[1].rstrip('/')


def fetch(path):
    with urllib.request.urlopen(base + path) as answer:
        return json.load(answer)


GROUPS = set('''admissionregistration.k8s.io apiextensions.k8s.io apiregistration.k8s.io apps authentication.k8s.io
authorization.k8s.io autoscaling batch certificates.k8s.io coordination.k8s.io discovery.k8s.io events.k8s.io
flowcontrol.apiserver.k8s.io networking.k8s.io node.k8s.io policy rbac.authorization.k8s.io resource.k8s.io
scheduling.k8s.io storage.k8s.io'''.split())
schemas = {}
for path, where in fetch('/openapi/v3')['paths'].items():
    parts = path.split('/')
    stable = len(parts) == 3 and parts[1] in GROUPS and parts[2] in ('v1', 'v2')
    if path == 'api/v1' or stable:
        schemas.update(fetch(where['serverRelativeURL'])['components']['schemas'])


def short(name):
    for prefix in ('io.k8s.apimachinery.pkg.apis.', 'io.k8s.apiextensions-apiserver.pkg.apis.',
                   'io.k8s.kube-aggregator.pkg.apis.', 'io.k8s.api.', 'io.k8s.apimachinery.pkg.'):
        if name.startswith(prefix):
            return name[len(prefix):]
    return name


ANY = {'io.k8s.apimachinery.pkg.runtime.RawExtension', 'io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1'}
needed, seen = [], set()


def reference(schema):
    if '$ref' in schema:
        return schema['$ref'].rsplit('/', 1)[1]
    if len(schema.get('allOf', [])) == 1:
        return reference(schema['allOf'][0])
    return None


def form(schema):
    name = reference(schema)
    if name:
        target = schemas[name]
        if name.endswith('api.resource.Quantity'):
            return 'q'
        if name.endswith('util.intstr.IntOrString'):
            return 'x'
        if target.get('type') == 'string':
            return 't'
        if name in ANY or 'properties' not in target:
            return '*'
        if name not in seen:
            seen.add(name)
            needed.append(name)
        return '@' + short(name)
    kind = schema.get('type')
    if kind == 'array':
        return '[' + form(schema['items'])
    if kind == 'object':
        return '{' + form(schema['additionalProperties']) if 'additionalProperties' in schema else '*'
    if kind == 'string':
        return {'byte': 'y', 'date-time': 't', 'int-or-string': 'x'}.get(schema.get('format'), 's')
    return {'boolean': 'b', 'number': 'd', 'integer': 'l' if schema.get('format') == 'int64' else 'i'}.get(kind, '*')


for name, schema in sorted(schemas.items()):
    kinds = schema.get('x-kubernetes-group-version-kind', [])
    if len(kinds) == 1 and 'metadata' in schema.get('properties', {}) and not kinds[0]['kind'].endswith('List'):
        if name not in seen:
            seen.add(name)
            needed.append(name)
done = {}
while needed:
    name = needed.pop()
    schema = schemas[name]
    kinds = schema.get('x-kubernetes-group-version-kind', [])
    kind = ' ' + '/'.join([kinds[0]['group'], kinds[0]['version'], kinds[0]['kind']]) if len(kinds) == 1 else ''
    atomic = '!' if schema.get('x-kubernetes-map-type') == 'atomic' else ''
    lines = [short(name) + atomic + kind]
    for field, value in sorted(schema.get('properties', {}).items()):
        marks = []
        if value.get('x-kubernetes-list-type') == 'set':
            marks.append('=')
        if value.get('x-kubernetes-list-type') == 'map':
            marks.append('=' + ','.join(value['x-kubernetes-list-map-keys']))
        if value.get('x-kubernetes-map-type') == 'atomic':
            marks.append('!')
        if 'x-kubernetes-patch-merge-key' in value:
            marks.append('~' + value['x-kubernetes-patch-merge-key'])
        elif value.get('x-kubernetes-patch-strategy', '').startswith('merge'):
            marks.append('~')
        if field in schema.get('required', []):
            marks.append('+')
        if value.get('default') == {}:
            marks.append('{}')
        elif 'default' in value:
            marks.append(':' + json.dumps(value['default']))
        allowed = value.get('enum') or value.get('items', {}).get('enum')
        if allowed:
            marks.append(''.join('|' + one for one in allowed))
        lines.append(' '.join([' ' + field, form(value)] + marks))
    done[short(name)] = lines
for name in sorted(done):
    print('\n'.join(done[name]))
