# Two stages: one compiles with the development packages, the other runs without them as an ordinary user.
FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build \
 && npm prune --omit=dev --ignore-scripts \
 && rm -rf src routes scripts bench test docs *.ts tsconfig*.json biome.json knip.json

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build --chown=root:root /app ./
USER node
EXPOSE 8440
HEALTHCHECK --interval=10s --timeout=3s --start-period=5s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8440/livez').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "dist/src/cli/main.js"]
# A container must listen on every address to be reached at all, and synicd refuses that unless it is told so out
# loud: whoever reaches the port may do everything. Publish it on 127.0.0.1 only: docker run -p 127.0.0.1:8440:8440.
CMD ["serve", "--host", "0.0.0.0", "--insecure"]
