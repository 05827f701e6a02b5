#!/usr/bin/env bash
# Makes a stand-in for the public image apache/kafka where that cannot be
# pulled: a Java run-time and the tools of this machine, the jars of pom.xml,
# and Kafka's own reader of KAFKA_* variables. For tests, not for production.
#   deploy/kafka/image.sh FOLDER-OF-JARS [NAME]      default local/kafka:4.3.1
# It needs a JDK of 17 or later with jlink, and Docker.
set -euo pipefail
jars=$1 name=${2:-local/kafka:4.3.1}
jdk=$(dirname "$(dirname "$(readlink -f "$(command -v jlink)")")")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
mkdir -p "$root"/{bin,tmp,etc/kafka/docker,etc/kafka/secrets,mnt/shared/config,proc,sys,dev} \
  "$root"/{var/lib/kafka/data,opt/kafka/libs,opt/kafka/config,opt/kafka/logs,home/appuser}
cp "$jars"/*.jar "$root/opt/kafka/libs/"

# log4j wants java.beans, hence java.desktop, but nothing of its windows.
"$jdk/bin/jlink" --strip-debug --no-man-pages --no-header-files --output "$root/opt/java" \
  --add-modules java.se,jdk.crypto.ec,jdk.management.agent,jdk.net,jdk.unsupported,jdk.zipfs
rm -f "$root"/opt/java/lib/lib{awt*,font*,freetype,javajpeg,jsound,lcms,mlib_image,splashscreen}.so

# The start script's tools, and every library that they and Java load.
for tool in bash sh cat cp env grep id ls mkdir rm sed sleep; do
  cp -L "$(command -v $tool)" "$root/bin/$tool"
done
libraries() {
  ldd "$root"/bin/* "$root"/opt/java/bin/java
  find "$root/opt/java/lib" -name '*.so' -exec ldd {} +
  # Jars bring native code for compression.
  ldconfig -p | grep -E 'libstdc\+\+\.so\.6 ' | sed 's/$/ (0)/'
}
libraries 2>/dev/null | grep -oE '/[^ :]+\.so[^ :]*' | sort -u | while read -r library; do
  case $library in "$root"/* | "$jdk"/*) continue ;; esac
  mkdir -p "$root$(dirname "$library")"
  cp -Ln "$library" "$root$library"
done
echo 'appuser:x:1000:1000::/home/appuser:/bin/bash' >"$root/etc/passwd"
echo 'appuser:x:1000:' >"$root/etc/group"
echo 'hosts: files dns' >"$root/etc/nsswitch.conf"

# Settings without any KAFKA_* variable: one node for clients of this host.
cat >"$root/etc/kafka/docker/server.properties" <<'PROPERTIES'
node.id=1
process.roles=broker,controller
controller.listener.names=CONTROLLER
controller.quorum.voters=1@localhost:9093
listeners=PLAINTEXT://:9092,CONTROLLER://localhost:9093
advertised.listeners=PLAINTEXT://localhost:9092
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
PROPERTIES
cat >"$root/etc/kafka/docker/run" <<'RUN'
#!/bin/bash
set -e
export CLUSTER_ID=${CLUSTER_ID:-dGFsbHktc3RhbmQtaW4tMQ}
classes='/opt/kafka/libs/*'
# It writes server.properties and formats the data folder, unless that is done.
said=$(java -XX:TieredStopAtLevel=1 -cp "$classes" kafka.docker.KafkaDockerWrapper setup \
  --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config \
  --final-configs-dir /opt/kafka/config 2>&1) ||
  grep -qi 'already formatted' <<<"$said" || { echo "$said" >&2; exit 1; }
exec java ${KAFKA_HEAP_OPTS:--Xmx1g -Xms256m} ${KAFKA_JVM_PERFORMANCE_OPTS:--XX:+UseG1GC} \
  ${KAFKA_OPTS:-} -cp "$classes" kafka.Kafka /opt/kafka/config/server.properties
RUN
chmod 755 "$root/etc/kafka/docker/run" "$root"
chmod 1777 "$root/tmp"
tar -C "$root" --owner=1000 --group=1000 -cf - . | docker import \
  -c 'ENV PATH=/opt/java/bin:/bin LANG=C.UTF-8' -c 'USER 1000:1000' -c 'EXPOSE 9092' \
  -c 'CMD ["/etc/kafka/docker/run"]' - "$name" >/dev/null
docker image inspect -f "$name: {{.Size}} bytes" "$name"
