#!/bin/sh
# Run once by the Postgres image, when its data folder is still empty: a database and a user each for MLflow
# and for studies. They cannot share one: both keep a table `alembic_version`.
set -eu

psql --username "${POSTGRES_USER:-postgres}" --set ON_ERROR_STOP=1 --no-psqlrc \
    --set mlflow_password="$MLFLOW_PASSWORD" --set study_password="$STUDY_PASSWORD" <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE ROLE study LOGIN PASSWORD :'study_password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE DATABASE study OWNER study;
REVOKE CONNECT ON DATABASE mlflow FROM PUBLIC;
REVOKE CONNECT ON DATABASE study FROM PUBLIC;
SQL
