{{/* Refuses values that would start something that cannot work. values.schema.json has what one value shows by itself. */}}
{{- define "nrc.check" -}}
{{- with .Values.database -}}
{{- if and .url .existingSecret -}}
{{- fail "database.url and database.existingSecret are both set: leave one out." -}}
{{- end -}}
{{- if not (or .url .existingSecret) -}}
{{- fail "Where is PostgreSQL? Set database.existingSecret to the name of a Secret that has its URL, or database.url. The SQLite file that nrc has by default serves one host, and each pod would have one of its own." -}}
{{- end -}}
{{- end -}}
{{- with .Values.secretKeys -}}
{{- if and .value .existingSecret -}}
{{- fail "secretKeys.value and secretKeys.existingSecret are both set: leave one out." -}}
{{- end -}}
{{- if not (or .value .existingSecret) -}}
{{- fail "Which key encrypts secrets in the database? Set secretKeys.existingSecret, or secretKeys.value to what `openssl rand -base64 32` prints, and keep a copy." -}}
{{- end -}}
{{- end -}}
{{- with .Values.rabbitmq -}}
{{- $ways := list -}}
{{- if .url }}{{ $ways = append $ways "rabbitmq.url" }}{{ end -}}
{{- if .existingSecret }}{{ $ways = append $ways "rabbitmq.existingSecret" }}{{ end -}}
{{- if .cluster.enabled }}{{ $ways = append $ways "rabbitmq.cluster.enabled" }}{{ end -}}
{{- if .topology.enabled }}{{ $ways = append $ways "rabbitmq.topology.enabled" }}{{ end -}}
{{- if gt (len $ways) 1 -}}
{{- fail (printf "%s are all set: leave all but one out." (join " and " $ways)) -}}
{{- end -}}
{{- if not $ways -}}
{{- fail "Where is RabbitMQ? Set rabbitmq.existingSecret to the name of a Secret that has its URL, rabbitmq.url, rabbitmq.cluster.enabled or rabbitmq.topology.enabled." -}}
{{- end -}}
{{- if and .topology.enabled (not .topology.cluster) -}}
{{- fail "Which RabbitmqCluster is it? Set rabbitmq.topology.cluster to its name." -}}
{{- end -}}
{{- end -}}
{{- with .Values.autorisaties -}}
{{- if and .url (not (and .clientId .existingSecret)) -}}
{{- fail "autorisaties.url needs autorisaties.clientId, and autorisaties.existingSecret with the secret of that client id." -}}
{{- end -}}
{{- if and (not .url) (or .clientId .existingSecret .caSecret .tokenIssuer) -}}
{{- fail "autorisaties is of which Autorisaties API? Set autorisaties.url." -}}
{{- end -}}
{{- end -}}
{{- if and .Values.deliverer.autoscaling.enabled (not .Values.metrics.enabled) -}}
{{- fail "deliverer.autoscaling needs metrics.enabled: what waits is one of them." -}}
{{- end -}}
{{- if and .Values.metrics.monitor.enabled (not .Values.metrics.enabled) -}}
{{- fail "metrics.monitor needs metrics.enabled." -}}
{{- end -}}
{{- with .Values.console -}}
{{- $all := merge (dict) .settings $.Values.settings -}}
{{- if and (or .oidc.existingSecret .oidc.caSecret) (not (index $all "NRC_CONSOLE_OIDC_ISSUER")) -}}
{{- fail "console.oidc is of which provider? Set console.settings.NRC_CONSOLE_OIDC_ISSUER, _CLIENT_ID and _ROLES." -}}
{{- end -}}
{{- end -}}
{{- with .Values.setup -}}
{{- if and .enabled .file .existingConfigMap -}}
{{- fail "setup.file and setup.existingConfigMap are both set: leave one out." -}}
{{- end -}}
{{- if and .enabled (not (or .file .existingConfigMap)) -}}
{{- fail "setup.enabled needs setup.file or setup.existingConfigMap." -}}
{{- end -}}
{{- end -}}
{{- range $name := list "gateway" "console" -}}
{{- $ingress := (index $.Values $name).ingress -}}
{{- if and $ingress.enabled (not $ingress.host) -}}
{{- fail (printf "%s.ingress needs %s.ingress.host." $name $name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
