{{/* A variable from a Secret: the existing one, or that of the chart. Of: root, name, from (its part of the values), secret. */}}
{{- define "nrc.secretVariable" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef:
      name: {{ default .secret .from.existingSecret }}
      key: {{ .from.key }}
{{- end -}}

{{/* The variables that tell where the database is, and its keys. Of: root, secret. */}}
{{- define "nrc.databaseVariables" -}}
{{ include "nrc.secretVariable" (dict "name" "NRC_DATABASE_URL" "from" .root.Values.database "secret" .secret) }}
{{ include "nrc.secretVariable" (dict "name" "NRC_SECRET_KEYS" "from" .root.Values.secretKeys "secret" .secret) }}
{{- if .root.Values.database.passwordSecret }}
- name: NRC_DATABASE_PASSWORD_FILE
  value: /etc/nrc/database/{{ .root.Values.database.passwordKey }}
{{- end }}
{{- with .root.Values.database }}
{{- if .listenSecret }}
{{ include "nrc.secretVariable" (dict "name" "NRC_DATABASE_LISTEN_URL" "from" (dict "existingSecret" .listenSecret "key" .listenKey)) }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The variables that tell where RabbitMQ is. */}}
{{- define "nrc.rabbitmqVariables" -}}
{{- $values := .Values.rabbitmq -}}
{{- $cluster := include "nrc.rabbitmq.cluster" . -}}
{{- if $cluster -}}
{{- /* The operator's own characters (base64 for URLs) stand in a URL as they are. */ -}}
- name: RABBITMQ_USER
  valueFrom:
    secretKeyRef:
      name: {{ include "nrc.fullname" . }}-user-credentials
      key: username
- name: RABBITMQ_PASSWORD
  valueFrom:
    secretKeyRef:
      name: {{ include "nrc.fullname" . }}-user-credentials
      key: password
- name: NRC_AMQP_URL
  value: {{ printf "%s://$(RABBITMQ_USER):$(RABBITMQ_PASSWORD)@%s.%s.svc:%s/%s"
    (ternary "amqps" "amqp" $values.tls) $cluster (include "nrc.rabbitmq.namespace" .)
    (ternary "5671" "5672" $values.tls) (trimPrefix "/" $values.topology.vhost) | quote }}
{{- else -}}
{{ include "nrc.secretVariable" (dict "name" "NRC_AMQP_URL" "from" $values "secret" (include "nrc.fullname" .)) }}
{{- end }}
{{- if $values.caSecret }}
- name: NRC_AMQP_CA_FILE
  value: /etc/nrc/rabbitmq/{{ $values.caKey }}
{{- end }}
{{- end -}}

{{/* The variables that are secret, or files, of the console's OpenID provider. */}}
{{- define "nrc.oidcVariables" -}}
{{- with .Values.console.oidc -}}
{{- if .existingSecret }}
{{ include "nrc.secretVariable" (dict "name" "NRC_CONSOLE_OIDC_CLIENT_SECRET" "from" .) }}
{{- end }}
{{- if .caSecret }}
- name: NRC_CONSOLE_OIDC_CA_FILE
  value: /etc/nrc/oidc/{{ .caKey }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Whether a process asks the Autorisaties API: gateways and the console do. Of: root, name, setup (it is that Job). */}}
{{- define "nrc.asksAutorisaties" -}}
{{- if and .root.Values.autorisaties.url (has .name (list "gateway" "console")) (not .setup) }}true{{ end -}}
{{- end -}}

{{/* The variables of the Autorisaties API. Of: root, name. */}}
{{- define "nrc.managementVariables" -}}
{{- if and (eq .name "router") .root.Values.amqpDirect.enabled .root.Values.amqpDirect.existingSecret }}
{{ include "nrc.secretVariable" (dict "name" "NRC_RABBITMQ_MANAGEMENT_URL" "from" .root.Values.amqpDirect) }}
{{- end }}
{{- end -}}

{{- define "nrc.autorisatiesVariables" -}}
{{- if include "nrc.asksAutorisaties" . -}}
{{- with .root.Values.autorisaties }}
- name: NRC_AC_URL
  value: {{ .url | quote }}
- name: NRC_AC_CLIENT_ID
  value: {{ .clientId | quote }}
{{ include "nrc.secretVariable" (dict "name" "NRC_AC_SECRET" "from" .) }}
{{- if .caSecret }}
- name: NRC_AC_CA_FILE
  value: /etc/nrc/autorisaties/{{ .caKey }}
{{- end }}
{{- end }}
{{- end }}
{{- if and .root.Values.autorisaties.tokenIssuer (eq .name "gateway") }}
- name: NRC_TOKEN_ISSUER
  value: {{ .root.Values.autorisaties.tokenIssuer | quote }}
{{- end }}
{{- end -}}

{{/* The settings of one process, as variables in the order of their names. Of: root, name. */}}
{{- define "nrc.settings" -}}
{{- $values := .root.Values -}}
{{- $component := index $values .name -}}
{{- $settings := dict
  "NRC_STATE_DIR" "/var/lib/nrc"
  "NRC_LOG_FORMAT" "json"
  "NRC_STOP_TIMEOUT" (include "nrc.stopTimeout" .)
  "NRC_CALLBACK_TIMEOUT" (toString $values.callbackTimeout) -}}
{{- if eq .name "gateway" -}}
{{- $_ := set $settings "NRC_GATEWAY_LISTEN" (printf "%s:%v" $values.listenAddress $values.ports.gateway) -}}
{{- else if eq .name "console" -}}
{{- $_ := set $settings "NRC_CONSOLE_LISTEN" (printf "%s:%v" $values.listenAddress $values.ports.console) -}}
{{- else -}}
{{- $_ := set $settings "NRC_HEALTH_LISTEN" (printf "%s:%v" $values.listenAddress $values.ports.health) -}}
{{- end -}}
{{- /* Where these ask for the gateway's health. */ -}}
{{- if has .name (list "alerts" "console") -}}
{{- $_ := set $settings "NRC_GATEWAY_LISTEN" (printf "%s-gateway:%v" (include "nrc.fullname" .root) $values.gateway.service.port) -}}
{{- end -}}
{{- if has .name (splitList " " (include "nrc.measured" .root)) -}}
{{- $_ := set $settings "NRC_METRICS_LISTEN" (printf "%s:%v" $values.listenAddress $values.ports.metrics) -}}
{{- end -}}
{{- with $values.publicUrl }}{{ $_ := set $settings "NRC_PUBLIC_URL" . }}{{ end -}}
{{- if $values.amqpDirect.enabled }}{{ $_ := set $settings "NRC_AMQP_DIRECT" "true" }}{{ end -}}
{{- with $values.amqpDirect.url }}{{ $_ := set $settings "NRC_AMQP_DIRECT_URL" . }}{{ end -}}
{{- with $values.consolePublicUrl }}{{ $_ := set $settings "NRC_CONSOLE_PUBLIC_URL" . }}{{ end -}}
{{- with $values.trustedProxies }}{{ $_ := set $settings "NRC_TRUSTED_PROXIES" . }}{{ end -}}
{{- if $values.callbackCaSecret }}{{ $_ := set $settings "NRC_CALLBACK_CA_FILE" (printf "/etc/nrc/callbacks/%s" $values.callbackCaKey) }}{{ end -}}
{{- if not $values.callbackCertificates }}{{ $_ := set $settings "NRC_CALLBACK_CERTIFICATES" "false" }}{{ end -}}
{{- range $name, $value := mergeOverwrite (dict) $values.settings $component.settings -}}
{{- $_ := set $settings $name (include "nrc.text" $value) -}}
{{- end -}}
{{- range $name, $value := $settings }}
- name: {{ $name }}
  value: {{ $value | quote }}
{{- end -}}
{{- end -}}

{{/* A value as text. Helm reads a number of 7 or more digits as a float: without an exponent here. */}}
{{- define "nrc.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) -}}{{ printf "%.0f" . }}{{- else -}}{{ . }}{{- end -}}
{{- end -}}

{{/* Seconds in which a process stops. Of a deliverer longer than a callback may take: else each stop would break some off. */}}
{{- define "nrc.stopTimeout" -}}
{{- $component := index .root.Values .name -}}
{{- if kindIs "invalid" $component.stopTimeout -}}
{{- add (ceil .root.Values.callbackTimeout) 5 -}}
{{- else -}}
{{- $component.stopTimeout -}}
{{- end -}}
{{- end -}}

{{/* Seconds after which Kubernetes kills it: more than all that it may take to stop by itself. */}}
{{- define "nrc.gracePeriod" -}}
{{- $component := index .root.Values .name -}}
{{- add $component.preStop (ceil (float64 (include "nrc.stopTimeout" .))) (ternary (ceil .root.Values.callbackTimeout) 0 (eq .name "deliverer")) 5 -}}
{{- end -}}

{{/* Where a process writes, nowhere else is the root writable; and the password, which the hook has too. */}}
{{- define "nrc.databaseMounts" -}}
- name: state
  mountPath: /var/lib/nrc
- name: tmp
  mountPath: /tmp
{{- if .Values.database.passwordSecret }}
- name: database
  mountPath: /etc/nrc/database
  readOnly: true
{{- end }}
{{- end -}}

{{- define "nrc.databaseVolumes" -}}
- name: state
  emptyDir: {sizeLimit: 64Mi}
- name: tmp
  emptyDir: {sizeLimit: 64Mi}
{{- with .Values.database }}
{{- if .passwordSecret }}
- name: database
  secret:
    secretName: {{ .passwordSecret }}
{{- end }}
{{- end }}
{{- end -}}

{{/* What one process has mounted. Of: root, name. */}}
{{- define "nrc.mounts" -}}
{{ include "nrc.databaseMounts" .root }}
{{- if .root.Values.rabbitmq.caSecret }}
- name: rabbitmq-ca
  mountPath: /etc/nrc/rabbitmq
  readOnly: true
{{- end }}
{{- if .root.Values.callbackCaSecret }}
- name: callback-ca
  mountPath: /etc/nrc/callbacks
  readOnly: true
{{- end }}
{{- if and (eq .name "console") .root.Values.console.oidc.caSecret }}
- name: oidc-ca
  mountPath: /etc/nrc/oidc
  readOnly: true
{{- end }}
{{- if and (include "nrc.asksAutorisaties" .) .root.Values.autorisaties.caSecret }}
- name: autorisaties-ca
  mountPath: /etc/nrc/autorisaties
  readOnly: true
{{- end }}
{{- end -}}

{{- define "nrc.volumes" -}}
{{ include "nrc.databaseVolumes" .root }}
{{- if .root.Values.rabbitmq.caSecret }}
- name: rabbitmq-ca
  secret:
    secretName: {{ .root.Values.rabbitmq.caSecret }}
{{- end }}
{{- if .root.Values.callbackCaSecret }}
- name: callback-ca
  secret:
    secretName: {{ .root.Values.callbackCaSecret }}
{{- end }}
{{- if and (eq .name "console") .root.Values.console.oidc.caSecret }}
- name: oidc-ca
  secret:
    secretName: {{ .root.Values.console.oidc.caSecret }}
{{- end }}
{{- if and (include "nrc.asksAutorisaties" .) .root.Values.autorisaties.caSecret }}
- name: autorisaties-ca
  secret:
    secretName: {{ .root.Values.autorisaties.caSecret }}
{{- end }}
{{- end -}}

{{/* Of each pod, also of the hook: who it is, and what it may not do. */}}
{{- define "nrc.podSecurity" -}}
serviceAccountName: {{ .serviceAccount }}
automountServiceAccountToken: false
# A Service called nrc-… would give pods variables NRC_…_PORT, which look like settings.
enableServiceLinks: false
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* The probes of one process. Started: it has opened the database, with tables brought up to date, and answers. Alive: its event
loop answers. Ready: it can do its work. Away RabbitMQ or an away database makes none of them not alive: a restart mends neither. */}}
{{- define "nrc.probes" -}}
{{- $port := ternary "http" "health" (or (eq . "gateway") (eq . "console")) -}}
startupProbe:
  httpGet: {path: /health/live, port: {{ $port }}}
  periodSeconds: 2
  timeoutSeconds: 5
  failureThreshold: 150
livenessProbe:
  httpGet: {path: /health/live, port: {{ $port }}}
  periodSeconds: 10
  timeoutSeconds: 5
  failureThreshold: 6
readinessProbe:
  httpGet: {path: /health/ready, port: {{ $port }}}
  periodSeconds: 5
  timeoutSeconds: 5
  failureThreshold: 3
{{- end -}}
