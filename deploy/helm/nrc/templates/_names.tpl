{{/* The begin of all names: release and chart, or what the values say. */}}
{{- define "nrc.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* The labels by which objects find the pods of this release. They never change: a Deployment's selector cannot. */}}
{{- define "nrc.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The labels of pods: none that changes with the chart alone, which would start all of them anew. */}}
{{- define "nrc.podLabels" -}}
{{ include "nrc.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The labels of all other objects. */}}
{{- define "nrc.labels" -}}
{{ include "nrc.podLabels" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "nrc.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "nrc.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "nrc.image" -}}
{{- $image := .Values.image -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $image.repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $image.repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The processes that have Deployments, in the order in which they are made. */}}
{{- define "nrc.components" -}}
router gateway deliverer ledger{{ if .Values.alerts.enabled }} alerts{{ end }}{{ if .Values.console.enabled }} console{{ end }}
{{- end -}}

{{/* The processes that answer /metrics. */}}
{{- define "nrc.measured" -}}
{{- if .Values.metrics.enabled }}router gateway deliverer ledger{{ end -}}
{{- end -}}

{{/* "true" where that component has its number of pods from an autoscaler. Of: root, name. */}}
{{- define "nrc.autoscaled" -}}
{{- $component := index .root.Values .name -}}
{{- if and (hasKey $component "autoscaling") $component.autoscaling.enabled -}}true{{- end -}}
{{- end -}}

{{/* The RabbitmqCluster on which NRC's user is made: name and namespace; nothing where there is none. */}}
{{- define "nrc.rabbitmq.cluster" -}}
{{- if .Values.rabbitmq.cluster.enabled -}}
{{- include "nrc.fullname" . }}-rabbitmq
{{- else if .Values.rabbitmq.topology.enabled -}}
{{- .Values.rabbitmq.topology.cluster -}}
{{- end -}}
{{- end -}}

{{- define "nrc.rabbitmq.namespace" -}}
{{- if .Values.rabbitmq.cluster.enabled -}}
{{- .Release.Namespace -}}
{{- else -}}
{{- default .Release.Namespace .Values.rabbitmq.topology.namespace -}}
{{- end -}}
{{- end -}}
